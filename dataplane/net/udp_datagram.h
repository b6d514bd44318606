// What a UDP socket gives and takes: datagrams, alone or as a train, and where they belong.
//
// Thread safety: values.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace sidelb {

// Where a datagram came to, as IP_PKTINFO or IPV6_PKTINFO tells: the source address of an answer.
struct LocalAddress {
  uint8_t family = AF_UNSPEC;  // AF_UNSPEC: not told, the socket has one address
  in6_addr address{};          // IPv4: the first 4 bytes

  friend bool operator==(const LocalAddress& a, const LocalAddress& b) {
    return a.family == b.family && std::memcmp(&a.address, &b.address, sizeof(a.address)) == 0;
  }
  template <typename H>
  friend H AbslHashValue(H h, const LocalAddress& a) {
    return H::combine(std::move(h), a.family,
                      std::string_view(reinterpret_cast<const char*>(&a.address), 16));
  }
};

// The peer of a datagram, as the socket's own family writes it (a dual-stack socket says
// ::ffff:192.0.2.1); what sendmsg(2) takes back.
struct RawPeer {
  sockaddr_in6 address{};
  socklen_t size = 0;

  friend bool operator==(const RawPeer& a, const RawPeer& b) {
    return a.size == b.size && std::memcmp(&a.address, &b.address, a.size) == 0;
  }
};

// One or more datagrams of one flow that lie one after the other: each of `segment` bytes, the last
// one of 1 to `segment`. An empty datagram is always alone.
struct Train {
  std::string_view data;
  size_t segment = 0;

  size_t count() const {
    return data.size() <= segment ? 1 : (data.size() + segment - 1) / segment;
  }
  // The first datagram of it.
  std::string_view front() const { return data.substr(0, segment); }
};

}  // namespace sidelb
