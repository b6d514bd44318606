#include "dataplane/net/udp_batch.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sidelb {

bool operator==(const LocalAddress& a, const LocalAddress& b) {
  return a.family == b.family && std::memcmp(&a.address, &b.address, sizeof(a.address)) == 0;
}

UdpBatch::UdpBatch() : memory_(std::make_unique_for_overwrite<char[]>(kSlots * kSlotBytes)) {
  for (int i = 0; i < kSlots; ++i) {
    vectors_[i] = {.iov_base = memory_.get() + static_cast<size_t>(i) * kSlotBytes,
                   .iov_len = kSlotBytes};
    messages_[i].msg_hdr.msg_iov = &vectors_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
  }
}

int UdpBatch::Receive(int fd, bool connected, int limit) {
  const int count = std::min(limit, free());
  for (int i = used_; i < used_ + count; ++i) {
    msghdr& header = messages_[i].msg_hdr;
    header.msg_name = connected ? nullptr : &peers_[i].address;
    header.msg_namelen = connected ? 0 : sizeof(peers_[i].address);
    header.msg_control = connected ? nullptr : controls_[i].bytes;
    header.msg_controllen = connected ? 0 : sizeof(controls_[i].bytes);
    header.msg_flags = 0;
  }
  const int received =
      recvmmsg(fd, &messages_[used_], static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
  if (received <= 0) return received;
  for (int i = used_; i < used_ + received; ++i) peers_[i].size = messages_[i].msg_hdr.msg_namelen;
  used_ += received;
  return received;
}

std::string_view UdpBatch::data(int slot) const {
  return {static_cast<const char*>(vectors_[slot].iov_base), messages_[slot].msg_len};
}

LocalAddress UdpBatch::local(int slot) const {
  LocalAddress local;
  auto* header = const_cast<msghdr*>(&messages_[slot].msg_hdr);
  for (cmsghdr* control = CMSG_FIRSTHDR(header); control != nullptr;
       control = CMSG_NXTHDR(header, control)) {
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(control), sizeof(info));
      local.family = AF_INET;
      std::memcpy(&local.address, &info.ipi_addr, sizeof(info.ipi_addr));
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(control), sizeof(info));
      local.family = AF_INET6;
      local.address = info.ipi6_addr;
    }
  }
  return local;
}

void UdpSender::Add(std::string_view data, const RawPeer* peer, const LocalAddress& local) {
  vectors_[count_] = {.iov_base = const_cast<char*>(data.data()), .iov_len = data.size()};
  msghdr& header = messages_[count_].msg_hdr;
  header = {};
  header.msg_iov = &vectors_[count_];
  header.msg_iovlen = 1;
  if (peer != nullptr) {
    peers_[count_] = *peer;
    header.msg_name = &peers_[count_].address;
    header.msg_namelen = peer->size;
  }
  if (local.family != AF_UNSPEC) {
    header.msg_control = controls_[count_].bytes;
    header.msg_controllen = sizeof(controls_[count_].bytes);
    cmsghdr* control = CMSG_FIRSTHDR(&header);
    if (local.family == AF_INET) {
      in_pktinfo info{};
      std::memcpy(&info.ipi_spec_dst, &local.address, sizeof(info.ipi_spec_dst));
      control->cmsg_level = IPPROTO_IP;
      control->cmsg_type = IP_PKTINFO;
      control->cmsg_len = CMSG_LEN(sizeof(info));
      std::memcpy(CMSG_DATA(control), &info, sizeof(info));
      header.msg_controllen = CMSG_SPACE(sizeof(info));
    } else {
      in6_pktinfo info{};
      info.ipi6_addr = local.address;
      control->cmsg_level = IPPROTO_IPV6;
      control->cmsg_type = IPV6_PKTINFO;
      control->cmsg_len = CMSG_LEN(sizeof(info));
      std::memcpy(CMSG_DATA(control), &info, sizeof(info));
      header.msg_controllen = CMSG_SPACE(sizeof(info));
    }
  }
  ++count_;
}

int UdpSender::Flush(int fd) {
  while (begin_ < count_) {
    const int n = sendmmsg(fd, &messages_[begin_], static_cast<unsigned>(count_ - begin_),
                           MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      begin_ += n;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  Clear();
  return 0;
}

size_t UdpSender::bytes() const {
  size_t sum = 0;
  for (int i = begin_; i < count_; ++i) sum += vectors_[i].iov_len;
  return sum;
}

}  // namespace sidelb
