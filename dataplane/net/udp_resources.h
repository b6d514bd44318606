// UdpResources: the batches that the UDP listeners and sessions of one shard share. Answers of
// backends gather over all the sessions of a wake-up and leave together.
//
// Thread safety: the shard's thread. Ownership: the ShardContext.
#pragma once

#include "dataplane/net/udp_batch.h"
#include "dataplane/net/udp_sender.h"

namespace sidelb {

class UdpListener;

class UdpResources {
 public:
  UdpBatch requests{/*connected=*/false};  // from clients; used within one call
  UdpSender to_backend;                    // from the slots of `requests`
  UdpBatch answers{/*connected=*/true};    // from backends; until FlushAnswers()

  // Queues the answer in `slot` of `answers` for `peer`, to leave through `listener`, which calls
  // FlushAnswers() before it dies.
  void QueueAnswer(int slot, UdpListener* listener, const RawPeer& peer, const LocalAddress& local,
                   uint16_t largest_segment);
  // Sends what is queued and frees the slots.
  void FlushAnswers();

 private:
  void SendQueued();

  UdpSender to_clients_;
  UdpListener* listener_ = nullptr;  // of what is queued
};

}  // namespace sidelb
