// Shard: one thread with one io_context, which accepts, connects and relays for its share of the
// connections. It never blocks, and shares nothing but atomics and the connections that
// shards hand to each other.
//
// Thread safety: said per method. Ownership: the ShardSet.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "dataplane/dataplane.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/net/shard_context.h"
#include "dataplane/net/shard_listener.h"

namespace sidelb {

// What a shard answers when it uses a publication. What it replaced goes back to the control
// thread, which frees it.
struct ShardAck {
  uint64_t seq = 0;
  std::vector<std::shared_ptr<const PoolSnapshot>> replaced;
  std::vector<ListenError> errors;
};

class Shard {
 public:
  Shard(size_t index, PipeBudget& pipes, ShardLoads& loads, Admission& admission,
        Admission& udp_admission, Faults& faults);
  ~Shard();  // REQUIRES: Join() was called, or Start() failed
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Before Start(): who gives connections to other shards.
  void SetHandOver(std::function<void(size_t shard, AcceptedConnection)> hand_over) {
    context_.hand_over = std::move(hand_over);
  }
  // Before Start(): Poller::SetBusyPoll().
  void SetBusyPoll(std::chrono::microseconds time) { loop_.poller().SetBusyPoll(time); }
  // Owner's thread. RESOURCE_EXHAUSTED without descriptors.
  absl::Status Start();
  bool is_running() const { return loop_.is_running(); }
  // Owner's thread: aborts all sessions, closes all listeners, ends the thread.
  void Stop(CloseReason reason);

  // Any thread: applies `publication` on the shard's thread and then calls `done` there.
  void Apply(std::shared_ptr<Publication> publication, std::function<void(ShardAck)> done);
  // Owner's thread: returns when all is done that was posted before. REQUIRES: started.
  void WaitForPosted();
  // Any thread: begins the session of a connection on the shard's thread.
  void Take(AcceptedConnection connection);

 private:
  ShardAck ApplyNow(Publication& publication);
  void ChangeListener(ListenerChange& change, ShardAck* ack);
  ShardListener* MakeListener(ListenerChange& change);
  void ChangeBackend(const BackendChange& change);
  void EndAll(CloseReason reason);

  EventLoop loop_;
  ShardContext context_;
  absl::flat_hash_map<ListenerId, ShardListener*> listeners_;
};

}  // namespace sidelb
