// UdpSender: a queue of datagrams for one socket, which leave with as few messages as their order
// allows (sendmmsg).
//
// Datagrams in a row to the same peer, of one size but for a last shorter one, become one message
// that the kernel, or the network card, cuts (UDP_SEGMENT). What a path refuses so is sent singly
// (docs/decisions/0016-udp-segmentation.md).
//
// Thread safety: the shard's thread. Ownership: whoever queues.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "dataplane/net/udp_datagram.h"

namespace sidelb {

class UdpSender {
 public:
  // How many trains can be queued: all slots of a UdpBatch.
  static constexpr int kTrains = 32;
  // The largest segment that may be tried.
  static constexpr uint16_t kAnySegment = UINT16_MAX;

  // The path to `peer` refused segments: from now on those of more than `largest` bytes go singly.
  using OnRefused =
      absl::FunctionRef<void(const RawPeer& peer, const LocalAddress& local, uint16_t largest)>;

  UdpSender();
  UdpSender(const UdpSender&) = delete;
  UdpSender& operator=(const UdpSender&) = delete;

  // Queues `train`, whose data must stay where it is until it is sent. `peer` nullptr: the socket
  // is connected. Datagrams larger than `largest_segment` go singly. REQUIRES: less than kTrains
  // are queued.
  void Add(const Train& train, const RawPeer* peer, const LocalAddress& local,
           uint16_t largest_segment);
  // Of the datagrams that are still queued.
  size_t size() const { return size_; }
  size_t bytes() const { return bytes_; }

  // Sends what is queued on `fd` in order. Returns 0, or the errno that stopped it; then the
  // datagram that failed is the first one still queued, and none after it was sent.
  int Flush(int fd, OnRefused on_refused);
  // Drops the first datagram, or all that would leave in one message with it.
  void DropFirst();
  void DropMessage();
  void Clear();

  // The steps of Flush(), which touch no socket.
  // The first messages of what is queued, for sendmmsg; valid until the next call of any method.
  absl::Span<mmsghdr> Prepare();
  // The first `messages` of what Prepare() returned were sent.
  void Advance(int messages);
  // The first of these messages failed with `error`. True when it had segments and this may be
  // why: Prepare() makes smaller ones now.
  bool Refuse(int error, OnRefused on_refused);

 private:
  static constexpr int kMessages = 64;

  struct Destination {
    RawPeer peer;  // of size 0: the socket is connected
    LocalAddress local;
    uint16_t largest_segment = kAnySegment;
  };
  struct Queued {
    Train train;
    int destination;
  };
  struct Control {
    alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
  };
  // What a message consists of.
  struct Part {
    size_t datagrams;
    size_t bytes;
    size_t segment;  // 0 without UDP_SEGMENT
  };
  class Walk;

  void Take(size_t datagrams, size_t bytes);

  int begin_ = 0;  // the first train that is not wholly sent
  int end_ = 0;
  int destination_count_ = 0;
  size_t size_ = 0;
  size_t bytes_ = 0;
  std::array<Queued, kTrains> queue_;
  std::array<Destination, kTrains> destinations_;
  std::array<Part, kMessages> parts_;
  std::array<mmsghdr, kMessages> messages_{};
  // A message has one more than the trains that end in it.
  std::array<iovec, kMessages + kTrains> vectors_;
  std::array<Control, kMessages> controls_;
};

}  // namespace sidelb
