// UdpBatch: datagrams received and sent several at a time (recvmmsg, sendmmsg), with the local
// address that each came to or leaves from.
//
// A shard has one for what clients send and one for what backends answer. Slots are 64 KiB, so that
// no datagram is ever cut; the memory is mapped at the first use and touched only as far as
// datagrams are long.
//
// Thread safety: the shard's thread. Ownership: the shard.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/base/address.h"

namespace sidelb {

// Where a datagram came to, as IP_PKTINFO or IPV6_PKTINFO tells: the source address of an answer.
struct LocalAddress {
  uint8_t family = AF_UNSPEC;  // AF_UNSPEC: not told, the socket has one address
  in6_addr address{};          // IPv4: the first 4 bytes

  friend bool operator==(const LocalAddress& a, const LocalAddress& b);
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
};

class UdpBatch {
 public:
  static constexpr int kSlots = 32;
  static constexpr size_t kSlotBytes = 64 * 1024;

  UdpBatch();
  UdpBatch(const UdpBatch&) = delete;
  UdpBatch& operator=(const UdpBatch&) = delete;

  // Receives up to `limit` datagrams into the slots from used() on. Returns how many, or -1 with
  // errno set. With `connected` no peer and local address are asked for.
  int Receive(int fd, bool connected, int limit = kSlots);
  int used() const { return used_; }
  int free() const { return kSlots - used_; }
  void Clear() { used_ = 0; }

  std::string_view data(int slot) const;
  const RawPeer& peer(int slot) const { return peers_[slot]; }
  LocalAddress local(int slot) const;

 private:
  struct Control {
    alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(in6_pktinfo))];
  };

  std::unique_ptr<char[]> memory_;
  int used_ = 0;
  std::array<mmsghdr, kSlots> messages_{};
  std::array<iovec, kSlots> vectors_{};
  std::array<RawPeer, kSlots> peers_{};
  std::array<Control, kSlots> controls_{};
};

// Sends datagrams that lie in slots of a batch.
class UdpSender {
 public:
  // Queues `data`, which must stay where it is until Flush(). `peer` nullptr: the socket is
  // connected.
  void Add(std::string_view data, const RawPeer* peer, const LocalAddress& local);
  int size() const { return count_ - begin_; }
  // Sends what is queued on `fd` in order. Returns 0, or the errno that stopped it; then the
  // datagram that failed is the first one still queued.
  int Flush(int fd);
  void DropFirst() { ++begin_; }
  void Clear() { begin_ = count_ = 0; }
  // Of the datagrams still queued.
  size_t bytes() const;

 private:
  struct Control {
    alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(in6_pktinfo))];
  };

  int begin_ = 0;  // the first not sent yet
  int count_ = 0;
  std::array<mmsghdr, UdpBatch::kSlots> messages_{};
  std::array<iovec, UdpBatch::kSlots> vectors_{};
  std::array<RawPeer, UdpBatch::kSlots> peers_{};
  std::array<Control, UdpBatch::kSlots> controls_{};
};

}  // namespace sidelb
