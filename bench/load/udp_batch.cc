#include "bench/load/udp_batch.h"

#include <netinet/udp.h>

#include <cerrno>
#include <cstring>

#include "bench/load/event_loop.h"
#include "bench/load/job.h"

namespace sidelb::bench {
namespace {

constexpr int kQueueBytes = 8 * 1024 * 1024;

void SetSegment(msghdr* header, char* control, uint16_t segment) {
  header->msg_control = control;
  header->msg_controllen = CMSG_SPACE(sizeof(segment));
  cmsghdr* const message = CMSG_FIRSTHDR(header);
  message->cmsg_level = IPPROTO_UDP;
  message->cmsg_type = UDP_SEGMENT;
  message->cmsg_len = CMSG_LEN(sizeof(segment));
  std::memcpy(CMSG_DATA(message), &segment, sizeof(segment));
}

size_t SegmentOf(msghdr* header, size_t size) {
  const cmsghdr* const control = CMSG_FIRSTHDR(header);
  if (control == nullptr || control->cmsg_level != IPPROTO_UDP || control->cmsg_type != UDP_GRO) {
    return size;
  }
  int segment = 0;
  std::memcpy(&segment, CMSG_DATA(control), sizeof(segment));
  return static_cast<size_t>(segment);
}

}  // namespace

UdpBatch::UdpBatch() : memory_(kSlots * kSlotBytes) {}

size_t UdpBatch::Receive(int fd) {
  for (size_t i = 0; i < kSlots; ++i) {
    vectors_[i] = {.iov_base = data(i), .iov_len = kSlotBytes};
    msghdr& header = messages_[i].msg_hdr;
    header = {};
    header.msg_name = &peers_[i];
    header.msg_namelen = sizeof(peers_[i]);
    header.msg_iov = &vectors_[i];
    header.msg_iovlen = 1;
    header.msg_control = controls_[i].bytes;
    header.msg_controllen = sizeof(controls_[i].bytes);
  }
  const int received = recvmmsg(fd, messages_.data(), kSlots, MSG_DONTWAIT, nullptr);
  if (received <= 0) return 0;
  for (size_t i = 0; i < static_cast<size_t>(received); ++i) {
    sizes_[i] = messages_[i].msg_len;
    segments_[i] = SegmentOf(&messages_[i].msg_hdr, sizes_[i]);
  }
  return static_cast<size_t>(received);
}

size_t UdpBatch::SendBack(int fd, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    vectors_[i].iov_len = sizes_[i];
    msghdr& header = messages_[i].msg_hdr;
    header.msg_control = nullptr;
    header.msg_controllen = 0;
    if (segments_[i] < sizes_[i]) {
      SetSegment(&header, controls_[i].bytes, static_cast<uint16_t>(segments_[i]));
    }
  }
  const int sent = sendmmsg(fd, messages_.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
  return sent < 0 ? 0 : static_cast<size_t>(sent);
}

UniqueFd OpenUdp(const Address& address) {
  UniqueFd fd(socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) Fail("socket");
  // Root may have more than net.core.rmem_max.
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kQueueBytes, sizeof(kQueueBytes)) != 0) {
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kQueueBytes, sizeof(kQueueBytes));
  }
  return fd;
}

void SetGro(int fd, bool on) {
  const int value = on ? 1 : 0;
  setsockopt(fd, IPPROTO_UDP, UDP_GRO, &value, sizeof(value));
}

size_t SendDatagrams(int fd, const char* data, size_t count, size_t size, bool segments) {
  std::array<iovec, kMaxDepth> vectors;
  std::array<mmsghdr, kMaxDepth> messages{};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))];
  const size_t pieces = segments ? 1 : count;
  for (size_t i = 0; i < pieces; ++i) {
    vectors[i] = {.iov_base = const_cast<char*>(data + i * size),
                  .iov_len = segments ? count * size : size};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  if (segments) SetSegment(&messages[0].msg_hdr, control, static_cast<uint16_t>(size));
  const int sent =
      sendmmsg(fd, messages.data(), static_cast<unsigned>(pieces), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent <= 0) return 0;
  return segments ? count : static_cast<size_t>(sent);
}

}  // namespace sidelb::bench
