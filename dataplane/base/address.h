// Address: an IP address with a port, IPv4 or IPv6, as the socket calls take it.
//
// Thread safety: a value. A v4-mapped IPv6 address is always stored as IPv4, so that one peer has
// one Address whatever socket it came through.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sidelb {

class Address {
 public:
  // The unspecified address: no family, port 0.
  Address();

  // Parses "192.0.2.1:80" or "[2001:db8::1]:80". Host names, zones ("%eth0") and missing ports are
  // INVALID_ARGUMENT; the message says what is allowed. Port 0 is accepted.
  static absl::StatusOr<Address> Parse(std::string_view text);
  // From what accept(2), getsockname(2) or recvmsg(2) returned.
  static Address FromSockaddr(const sockaddr* address, socklen_t length);

  bool is_specified() const { return storage_.generic.sa_family != AF_UNSPEC; }
  bool is_v6() const { return storage_.generic.sa_family == AF_INET6; }
  int family() const { return storage_.generic.sa_family; }
  uint16_t port() const;
  Address WithPort(uint16_t port) const;

  // What bind(2) and connect(2) take.
  const sockaddr* data() const { return &storage_.generic; }
  socklen_t size() const { return is_v6() ? sizeof(sockaddr_in6) : sizeof(sockaddr_in); }

  // Canonical text: "192.0.2.1:80", "[2001:db8::1]:80".
  std::string ToString() const;
  // Without the port: "192.0.2.1", "2001:db8::1".
  std::string Host() const;

  // IPv4 before IPv6, then by the bytes of the address, then by port.
  friend bool operator==(const Address& a, const Address& b);
  friend bool operator<(const Address& a, const Address& b);
  template <typename H>
  friend H AbslHashValue(H h, const Address& a) {
    return H::combine(std::move(h), a.family(), a.port(),
                      std::string_view(a.bytes(), a.is_v6() ? 16 : 4));
  }

 private:
  const char* bytes() const;  // network order: 4 or 16 of them

  union {
    sockaddr generic;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } storage_;
};

static_assert(sizeof(Address) == sizeof(sockaddr_in6));

}  // namespace sidelb
