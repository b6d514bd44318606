// WatchHub: all watches of a daemon, on a thread of their own. A watch is a position in the event
// log; no queue belongs to it. The hub sends each watch what follows its position, heartbeats, and
// ends those that do not read.
//
//   1. Start() subscribes at the controller: a snapshot, or the position to resume from.
//   2. Snapshot chunks, then events, at most 10 messages a second, the latest state of each object;
//      one message at a time is on its way.
//   3. A watch that falls off the log gets RESYNC and a new snapshot; the third time within a
//      minute, and when one message takes 30 s to leave, it is ended.
//
// Thread safety: Start() by any thread; Stop() and the destructor by the thread that owns it.
// Ownership: ControlService. It must outlive the grpc::Server, and the controller must outlive it.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>

#include "server/control/controller.h"
#include "server/rpc/convert_request.h"
#include "server/rpc/limits.h"
#include "server/rpc/watch_encoder.h"
#include "server/rpc/watch_stream.h"

namespace sidelb::rpc {

class WatchHub {
 public:
  struct Options {
    size_t max_watches = kMaxWatches;
    size_t max_overflows = 3;  // within a minute
    std::chrono::milliseconds between_events{100};
    std::chrono::milliseconds stuck{30'000};  // for one message to leave
  };

  WatchHub(control::Controller* controller, std::string epoch, Options options);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // A call that the handler returns to gRPC. It ends with `admitted` unless that is OK.
  WatchStream* Start(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                     const absl::Status& admitted = absl::OkStatus());

  // How many were refused because there were too many. Any thread.
  uint64_t refused() const { return refused_.load(); }

  // How many there are. Any thread.
  size_t count() const { return count_.load(); }

  // Says GoingAway to all, and ends them and those to come.
  void Stop(absl::Duration grace);

 private:
  using Clock = std::chrono::steady_clock;
  struct Watch;

  // Runs `function` on the hub's thread. Any thread.
  template <typename Function>
  void Post(Function function) {
    const std::lock_guard lock(post_mutex_);
    boost::asio::post(io_, std::move(function));
  }
  void EndWhenSettled();
  void Add(uint64_t id, absl::StatusOr<WatchQuery> query);
  void Subscribe(Watch& watch, bool with_snapshot, pb::ResyncReason resync);
  void OnSubscribed(uint64_t id, std::optional<control::Subscription> subscription,
                    pb::ResyncReason resync);
  void OnWritten(uint64_t id, bool ok);
  void OnCancelled(uint64_t id);
  void OnDone(uint64_t id);
  void OnLogGrew();
  void OnTimer();

  // Sends what is due, if anything.
  void Pump(Watch& watch);
  bool SendEvents(Watch& watch, Clock::time_point now);
  void SendHeartbeat(Watch& watch, Clock::time_point now);
  void OnOverflow(Watch& watch, Clock::time_point now);
  void Write(Watch& watch, grpc::ByteBuffer message);
  void Finish(Watch& watch, const absl::Status& status);
  void SetDue(Watch& watch);
  void SetTimer();
  Watch* Find(uint64_t id);
  std::shared_ptr<const EncodedSnapshot> Encode(const Watch& watch, const control::StateView& view);

  control::Controller* const controller_;
  const std::string epoch_;
  const Options options_;
  std::atomic<uint64_t> next_id_{1};
  std::atomic<size_t> count_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<bool> is_notified_{false};  // OnLogGrew() is posted
  std::mutex post_mutex_;                 // so that the destructor sees that posts are over

  // The hub's thread only:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  Clock::time_point timer_time_ = Clock::time_point::max();
  WatchEncoder encoder_;
  std::unordered_map<uint64_t, std::unique_ptr<Watch>> watches_;
  std::set<std::pair<Clock::time_point, uint64_t>> due_;
  std::weak_ptr<const EncodedSnapshot> last_snapshots_[2];  // of everything, by StateDetail
  size_t subscribing_ = 0;  // answers of the controller that are due
  bool is_ending_ = false;
  bool is_going_away_ = false;
  absl::Duration grace_;

  std::thread thread_;
};

}  // namespace sidelb::rpc
