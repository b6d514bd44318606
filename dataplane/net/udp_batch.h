// UdpBatch: datagrams received several at a time (recvmmsg), each with the local address that it
// came to.
//
// A shard has one for what clients send and one for what backends answer. Where a socket has
// UDP_GRO, what the kernel has put together stays a train. Slots are 64 KiB, so that no datagram
// and no train is ever cut; the memory is mapped at the first use and touched only as far as
// datagrams are long.
//
// Thread safety: the shard's thread. Ownership: the shard.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "dataplane/net/udp_datagram.h"

namespace sidelb {

class UdpBatch {
 public:
  static constexpr int kSlots = 32;
  static constexpr size_t kSlotBytes = 64 * 1024;

  // With `connected` no peers and local addresses are asked for.
  explicit UdpBatch(bool connected);
  UdpBatch(const UdpBatch&) = delete;
  UdpBatch& operator=(const UdpBatch&) = delete;

  // Receives into the slots from used() on, at most `limit`. Returns how many, or -1 with errno
  // set. Fewer than could have been: nothing is left. The kernel looks for one more than there is,
  // so a caller that wants only one says so.
  int Receive(int fd, int limit = kSlots);
  int used() const { return used_; }
  int free() const { return kSlots - used_; }
  void Clear() { used_ = 0; }

  const Train& train(int slot) const { return trains_[slot]; }
  const RawPeer& peer(int slot) const { return peers_[slot]; }
  const LocalAddress& local(int slot) const { return locals_[slot]; }

 private:
  struct Control {
    alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
  };

  void SetUp(int slot);
  void Read(int slot);

  const bool is_connected_;
  std::unique_ptr<char[]> memory_;
  int used_ = 0;
  std::array<mmsghdr, kSlots> messages_{};
  std::array<iovec, kSlots> vectors_{};
  std::array<Train, kSlots> trains_{};
  std::array<RawPeer, kSlots> peers_{};
  std::array<LocalAddress, kSlots> locals_{};
  std::array<Control, kSlots> controls_{};
};

}  // namespace sidelb
