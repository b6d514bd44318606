// Shard: one thread with one io_context, which accepts, connects and relays for its share of the
// connections. It never blocks and shares nothing but atomics.
//
// Thread safety: said per method. Ownership: the ShardSet.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "dataplane/dataplane.h"
#include "dataplane/net/poller.h"
#include "dataplane/net/shard_context.h"
#include "dataplane/net/tcp_listener.h"
#include "dataplane/net/timer_wheel.h"

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
  Shard(size_t index, PipeBudget& pipes, Admission& admission, Faults& faults);
  ~Shard();  // REQUIRES: Join() was called, or Start() failed
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Owner's thread. RESOURCE_EXHAUSTED without descriptors.
  absl::Status Start();
  // Owner's thread: aborts all sessions, closes all listeners, ends the thread.
  void Stop(CloseReason reason);

  // Any thread: applies `publication` on the shard's thread and then calls `done` there.
  void Apply(std::shared_ptr<Publication> publication, std::function<void(ShardAck)> done);

 private:
  void Run();
  void ReadClock();
  void MoveTimer();
  void ArmTimer(uint64_t deadline_ms);
  void OnSystemTimer();
  ShardAck ApplyNow(Publication& publication);
  void ChangeListener(ListenerChange& change, ShardAck* ack);
  void ChangeBackend(const BackendChange& change);
  void EndAll(CloseReason reason);

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  Poller poller_;
  TimerWheel timers_;
  ShardContext context_;
  boost::asio::steady_timer system_timer_;
  uint64_t armed_ms_ = UINT64_MAX;
  absl::flat_hash_map<ListenerId, TcpListener*> listeners_;
  std::thread thread_;
};

}  // namespace sidelb
