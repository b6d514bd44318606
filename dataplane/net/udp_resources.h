// UdpResources: the batches that the UDP listeners and sessions of one shard share. Answers of
// backends gather over all the sessions of a wake-up and leave together.
//
// Thread safety: the shard's thread. Ownership: the ShardContext.
#pragma once

#include <cerrno>

#include "dataplane/net/udp_batch.h"

namespace sidelb {

struct UdpResources {
  UdpBatch requests;     // from clients; used within one call
  UdpSender to_backend;  // from the slots of `requests`
  UdpBatch answers;      // from backends; until FlushAnswers()

  // Queues the answer in `slot` of `answers` for `peer`, to leave through `listener_fd`.
  void QueueAnswer(int slot, int listener_fd, const RawPeer& peer, const LocalAddress& local) {
    if (to_clients_.size() > 0 && listener_fd != listener_fd_) SendQueued();
    listener_fd_ = listener_fd;
    to_clients_.Add(answers.data(slot), &peer, local);
  }

  // Sends what is queued and frees the slots.
  void FlushAnswers() {
    SendQueued();
    answers.Clear();
  }

 private:
  // What the kernel does not take now (a full buffer, a client without a route) is lost, as
  // datagrams are.
  void SendQueued() {
    while (to_clients_.size() > 0) {
      const int error = to_clients_.Flush(listener_fd_);
      if (error == EAGAIN || error == ENOBUFS) to_clients_.Clear();
      if (error != 0 && to_clients_.size() > 0) to_clients_.DropFirst();
    }
    to_clients_.Clear();
  }

  UdpSender to_clients_;
  int listener_fd_ = -1;
};

}  // namespace sidelb
