#include "dataplane/net/udp_resources.h"

#include <cerrno>

#include "dataplane/net/udp_listener.h"

namespace sidelb {

static_assert(UdpSender::kTrains >= UdpBatch::kSlots);

void UdpResources::QueueAnswer(int slot, UdpListener* listener, const RawPeer& peer,
                               const LocalAddress& local, uint16_t largest_segment) {
  if (listener != listener_ && to_clients_.size() > 0) SendQueued();
  listener_ = listener;
  to_clients_.Add(answers.train(slot), &peer, local, largest_segment);
}

void UdpResources::FlushAnswers() {
  if (to_clients_.size() > 0) SendQueued();
  answers.Clear();
}

// What the kernel does not take now (a full buffer, a client without a route) is lost, as datagrams
// are.
void UdpResources::SendQueued() {
  const auto on_refused = [this](const RawPeer& peer, const LocalAddress& local, uint16_t largest) {
    listener_->LimitSegments(peer, local, largest);
  };
  while (to_clients_.size() > 0) {
    const int error = to_clients_.Flush(listener_->fd(), on_refused);
    if (error == 0) return;
    const size_t queued = to_clients_.size();
    if (error == EAGAIN || error == ENOBUFS) {
      to_clients_.Clear();
    } else {
      to_clients_.DropMessage();
    }
    listener_->CountDropped(queued - to_clients_.size());
  }
}

}  // namespace sidelb
