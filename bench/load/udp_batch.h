// UdpBatch: datagrams that come and go many at a time, for both sides of the load.
//
// Thread safety: none. Ownership: whoever receives and sends.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/unique_fd.h"

namespace sidelb::bench {

class UdpBatch {
 public:
  static constexpr size_t kSlots = 64;

  UdpBatch();

  // Returns how many came, each of which may be several datagrams of one size where the socket has
  // UDP_GRO; 0 when none is there.
  size_t Receive(int fd);
  char* data(size_t slot) { return memory_.data() + slot * kSlotBytes; }
  size_t size(size_t slot) const { return sizes_[slot]; }
  // The size of one datagram in the slot.
  size_t segment(size_t slot) const { return segments_[slot]; }

  // Sends the first `count` slots back to where they came from; returns how many left.
  size_t SendBack(int fd, size_t count);

 private:
  static constexpr size_t kSlotBytes = 65536;
  struct alignas(cmsghdr) Control {
    char bytes[CMSG_SPACE(sizeof(int))];
  };

  std::vector<char> memory_;
  std::array<mmsghdr, kSlots> messages_{};
  std::array<iovec, kSlots> vectors_{};
  std::array<sockaddr_in, kSlots> peers_{};
  std::array<Control, kSlots> controls_{};
  std::array<size_t, kSlots> sizes_{};
  std::array<size_t, kSlots> segments_{};
};

// A non-blocking socket with a large queue; ends the program when there is none.
UniqueFd OpenUdp(const Address& address);
void SetGro(int fd, bool on);

// Sends `count` datagrams of `size` bytes that lie one after the other, over a connected socket;
// with `segments` in one piece, which the kernel cuts. Returns how many left.
size_t SendDatagrams(int fd, const char* data, size_t count, size_t size, bool segments);

}  // namespace sidelb::bench
