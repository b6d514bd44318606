#include "dataplane/net/udp_sender.h"

#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sidelb {
namespace {

// The kernel's UDP_MAX_SEGMENTS; later kernels take 128.
constexpr size_t kMaxSegments = 64;
// What IPv6 leaves of the 64 KiB that one message may have with its headers; IPv4 leaves 20 more.
constexpr size_t kMaxBytes = 65'487;

// Appends a control message of `value` to `header`, whose buffer is large enough.
template <typename T>
void AddControl(msghdr* header, char* buffer, int level, int type, const T& value) {
  auto* const control = reinterpret_cast<cmsghdr*>(buffer + header->msg_controllen);
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(sizeof(value));
  std::memcpy(CMSG_DATA(control), &value, sizeof(value));
  header->msg_control = buffer;
  header->msg_controllen += CMSG_SPACE(sizeof(value));
}

void AddLocal(msghdr* header, char* buffer, const LocalAddress& local) {
  if (local.family == AF_INET) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, &local.address, sizeof(info.ipi_spec_dst));
    AddControl(header, buffer, IPPROTO_IP, IP_PKTINFO, info);
  } else if (local.family == AF_INET6) {
    in6_pktinfo info{};
    info.ipi6_addr = local.address;
    AddControl(header, buffer, IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
}

// How many of `messages` left, or -1 with errno set. One alone is cheaper by sendmsg().
int Send(int fd, absl::Span<mmsghdr> messages) {
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (messages.size() == 1) return sendmsg(fd, &messages[0].msg_hdr, kFlags) < 0 ? -1 : 1;
  return sendmmsg(fd, messages.data(), static_cast<unsigned>(messages.size()), kFlags);
}

}  // namespace

// Goes through the queue, message by message.
class UdpSender::Walk {
 public:
  explicit Walk(UdpSender& sender) : sender_(sender), index_(sender.begin_) { Load(); }
  bool is_at_end() const { return index_ == sender_.end_; }
  int destination() const { return sender_.queue_[index_].destination; }

  // The next message: its vectors go to `vectors`; returns how many they are.
  int Next(iovec* vectors, Part* part) {
    const size_t segment = rest_.front().size();
    const int to = destination();
    *part = {};
    int used = 0;
    if (segment == 0 || segment > sender_.destinations_[to].largest_segment) {
      Append(1, segment, vectors, &used, part);
      return used;
    }
    for (;;) {
      const size_t room =
          std::min(kMaxSegments - part->datagrams,
                   part->bytes < kMaxBytes ? (kMaxBytes - part->bytes) / segment : 0);
      // The first one is taken whatever its size: if it is too large, the kernel says so.
      const size_t count =
          std::min(rest_.count(), part->bytes == 0 ? std::max<size_t>(room, 1) : room);
      if (count == 0) break;
      Append(count, std::min(rest_.data.size(), count * segment), vectors, &used, part);
      const bool ends_short = part->bytes % segment != 0;
      if (ends_short || is_at_end() || destination() != to) break;
      // What follows has the same size, or is one shorter datagram.
      const size_t next = rest_.front().size();
      if (next == 0 || next > segment || (next < segment && rest_.count() > 1)) break;
    }
    if (part->datagrams > 1) part->segment = segment;
    return used;
  }

 private:
  void Load() {
    if (!is_at_end()) rest_ = sender_.queue_[index_].train;
  }

  void Append(size_t datagrams, size_t bytes, iovec* vectors, int* used, Part* part) {
    vectors[(*used)++] = {.iov_base = const_cast<char*>(rest_.data.data()), .iov_len = bytes};
    part->datagrams += datagrams;
    part->bytes += bytes;
    rest_.data.remove_prefix(bytes);
    if (!rest_.data.empty()) return;
    ++index_;
    Load();
  }

  UdpSender& sender_;
  int index_;
  Train rest_;  // of the train at index_
};

UdpSender::UdpSender() { Clear(); }

void UdpSender::Add(const Train& train, const RawPeer* peer, const LocalAddress& local,
                    uint16_t largest_segment) {
  const bool is_same = destination_count_ > 0 && [&](const Destination& last) {
    return last.local == local && (peer == nullptr ? last.peer.size == 0 : last.peer == *peer);
  }(destinations_[destination_count_ - 1]);
  if (!is_same) {
    Destination& next = destinations_[destination_count_++];
    if (peer != nullptr) {
      next.peer = *peer;
    } else {
      next.peer.size = 0;
    }
    next.local = local;
    next.largest_segment = largest_segment;
  }
  queue_[end_++] = {.train = train, .destination = destination_count_ - 1};
  size_ += train.count();
  bytes_ += train.data.size();
}

absl::Span<mmsghdr> UdpSender::Prepare() {
  Walk walk(*this);
  size_t count = 0;
  iovec* vectors = vectors_.data();
  for (; count < kMessages && !walk.is_at_end(); ++count) {
    Destination& destination = destinations_[walk.destination()];
    msghdr& header = messages_[count].msg_hdr;
    header.msg_iov = vectors;
    header.msg_iovlen = static_cast<size_t>(walk.Next(vectors, &parts_[count]));
    vectors += header.msg_iovlen;
    header.msg_name = destination.peer.size == 0 ? nullptr : &destination.peer.address;
    header.msg_namelen = destination.peer.size;
    header.msg_control = nullptr;
    header.msg_controllen = 0;
    char* const control = controls_[count].bytes;
    AddLocal(&header, control, destination.local);
    if (parts_[count].segment != 0) {
      AddControl(&header, control, IPPROTO_UDP, UDP_SEGMENT,
                 static_cast<uint16_t>(parts_[count].segment));
    }
  }
  return absl::MakeSpan(messages_.data(), count);
}

void UdpSender::Advance(int messages) {
  for (int i = 0; i < messages; ++i) {
    size_ -= parts_[i].datagrams;
    bytes_ -= parts_[i].bytes;
    for (size_t k = 0; k < messages_[i].msg_hdr.msg_iovlen; ++k) {
      std::string_view& first = queue_[begin_].train.data;
      first.remove_prefix(messages_[i].msg_hdr.msg_iov[k].iov_len);
      if (first.empty()) ++begin_;
    }
  }
  if (begin_ == end_) Clear();
}

bool UdpSender::Refuse(int error, OnRefused on_refused) {
  // EINVAL and EMSGSIZE: a segment does not fit the path's MTU. EIO: the path has no segmentation.
  if (error != EINVAL && error != EMSGSIZE && error != EIO) return false;
  const size_t segment = parts_[0].segment;
  if (segment == 0) return false;
  Destination& destination = destinations_[queue_[begin_].destination];
  destination.largest_segment = error == EIO ? 0 : static_cast<uint16_t>(segment - 1);
  on_refused(destination.peer, destination.local, destination.largest_segment);
  return true;
}

int UdpSender::Flush(int fd, OnRefused on_refused) {
  while (begin_ < end_) {
    const int sent = Send(fd, Prepare());
    if (sent >= 0) {
      Advance(sent);
    } else if (const int error = errno; error != EINTR && !Refuse(error, on_refused)) {
      return error;
    }
  }
  return 0;
}

void UdpSender::DropFirst() {
  Train& first = queue_[begin_].train;
  const size_t bytes = first.front().size();
  --size_;
  bytes_ -= bytes;
  first.data.remove_prefix(bytes);
  if (first.data.empty()) ++begin_;
  if (begin_ == end_) Clear();
}

void UdpSender::DropMessage() {
  if (!Prepare().empty()) Advance(1);
}

void UdpSender::Clear() {
  begin_ = end_ = destination_count_ = 0;
  size_ = bytes_ = 0;
}

}  // namespace sidelb
