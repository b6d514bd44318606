#include "dataplane/net/udp_batch.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cstring>

namespace sidelb {

UdpBatch::UdpBatch(bool connected)
    : is_connected_(connected),
      memory_(std::make_unique_for_overwrite<char[]>(kSlots * kSlotBytes)) {
  for (int i = 0; i < kSlots; ++i) {
    vectors_[i] = {.iov_base = memory_.get() + static_cast<size_t>(i) * kSlotBytes,
                   .iov_len = kSlotBytes};
    msghdr& header = messages_[i].msg_hdr;
    header.msg_iov = &vectors_[i];
    header.msg_iovlen = 1;
    header.msg_name = connected ? nullptr : &peers_[i].address;
    header.msg_control = controls_[i].bytes;
    SetUp(i);
  }
}

// The lengths that the kernel overwrites; only for slots that it used.
void UdpBatch::SetUp(int slot) {
  msghdr& header = messages_[slot].msg_hdr;
  header.msg_namelen = is_connected_ ? 0 : sizeof(sockaddr_in6);
  header.msg_controllen = sizeof(Control);
}

int UdpBatch::Receive(int fd, int limit) {
  const auto most = static_cast<unsigned>(std::min(limit, free()));
  const int received = recvmmsg(fd, &messages_[used_], most, MSG_DONTWAIT, nullptr);
  if (received <= 0) return received;
  for (const int end = used_ + received; used_ < end; ++used_) Read(used_);
  return received;
}

void UdpBatch::Read(int slot) {
  msghdr& header = messages_[slot].msg_hdr;
  const size_t size = messages_[slot].msg_len;
  trains_[slot] = {.data = {static_cast<const char*>(vectors_[slot].iov_base), size},
                   .segment = size};
  peers_[slot].size = header.msg_namelen;
  locals_[slot] = {};
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(control), sizeof(info));
      locals_[slot].family = AF_INET;
      std::memcpy(&locals_[slot].address, &info.ipi_addr, sizeof(info.ipi_addr));
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(control), sizeof(info));
      locals_[slot].family = AF_INET6;
      locals_[slot].address = info.ipi6_addr;
    } else if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
      int segment;
      std::memcpy(&segment, CMSG_DATA(control), sizeof(segment));
      if (segment > 0) trains_[slot].segment = static_cast<size_t>(segment);
    }
  }
  SetUp(slot);
}

}  // namespace sidelb
