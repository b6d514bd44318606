// ControlLoop: the work of the Controller on the control thread.
//
// Thread safety: Start(), Stop() and the destructor by the owner, Post() by any thread, the rest on
// the control thread only. Ownership: the Controller.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/dataplane.h"
#include "server/control/batch.h"
#include "server/control/controller.h"
#include "server/control/event_log.h"
#include "server/control/event_tracker.h"
#include "server/control/live_state.h"

namespace sidelb::control {

class ControlLoop {
 public:
  static absl::StatusOr<std::unique_ptr<ControlLoop>> Start(const Controller::Options& options);
  ~ControlLoop();
  ControlLoop(const ControlLoop&) = delete;
  ControlLoop& operator=(const ControlLoop&) = delete;

  // Runs `function` on the control thread; false, and it never runs, after Stop().
  bool Post(std::function<void()> function);
  // Answers what waits. Idempotent.
  void Stop();

  void Apply(ApplyRequest request, Controller::ApplyCallback callback);
  void GetState(Filter filter, uint64_t min_revision, absl::Time deadline,
                Controller::StateCallback callback);
  Info GetInfo() const;
  void SetCondition(const std::string& code, const std::optional<std::string>& detail);
  void AskShards(std::function<void()> callback) { data_plane_->AskShards(std::move(callback)); }
  Stats GetStats(const Filter& filter, bool reset_peaks) const;
  Subscription Subscribe(const Filter& filter, bool with_view) const;
  EventLog& events() { return events_; }  // any thread
  void Drain(absl::Duration timeout, std::function<void(uint64_t)> callback);

 private:
  // An Apply that waits.
  struct Waiting {
    ApplyResponse response;
    WaitFor wait = WaitFor::kApplied;
    absl::Time deadline;
    std::set<BackendKey> leaving;      // what DRAINED waits for
    uint32_t sessions_taken_back = 0;  // of backends that serve again
    bool was_taken_back = false;       // then DRAINED cannot be reached
    Controller::ApplyCallback callback;
  };
  struct Deferred {
    ApplyRequest request;
    Controller::ApplyCallback callback;
  };
  struct WaitingRead {
    Filter filter;
    uint64_t min_revision = 0;
    absl::Time deadline;
    Controller::StateCallback callback;
  };
  // A shutdown's drain.
  struct Draining {
    absl::Time deadline;
    std::function<void(uint64_t)> callback;
  };

  explicit ControlLoop(size_t event_log_bytes);
  ProviderPort MakePort();
  // Wall-clock time that no one can set: deadlines keep their length.
  absl::Time Now() const;
  absl::Time FromWallClock(absl::Time deadline) const;
  // False, with nothing done, when it has to wait for sockets to be closed.
  bool TryApply(const ApplyRequest& request, Controller::ApplyCallback& callback);
  void Commit(const ApplyRequest& request, Change change, LiveState::Openings openings,
              Controller::ApplyCallback callback);
  void OnApplied(uint64_t seq, uint64_t revision, const std::vector<ListenError>& errors);
  void OnReports(std::vector<HealthReport> reports);
  void FollowProbes();
  void PublishNext();
  void FinishElsewhere(LiveState::Taken taken);
  void RunDeferred();
  void Tick();
  void RecordEvents(const std::string& actor = "");
  void ReportDrains(const LiveState::DrainEvents& events) const;
  void WakeBy(absl::Time time);
  absl::Time NextTick(absl::Time now) const;
  bool Advance(Waiting* waiting, absl::Time now);
  bool Advance(WaitingRead* read, absl::Time now);
  void CheckWaiting(absl::Time now);
  void CheckReads(absl::Time now);
  void CheckDraining(absl::Time now);
  bool CheckLeaving(Waiting* waiting);
  void FailAll();
  static absl::Status Stopping();

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  bool is_stopping_ = false;
  absl::Time tick_time_ = absl::InfiniteFuture();  // for which timer_ is set
  // In this order, so that the data plane ends before what its shards point to.
  std::unique_ptr<LiveState> live_;
  std::unique_ptr<DataPlane> data_plane_;
  std::unique_ptr<HealthChecker> health_;
  bool watches_outliers_ = false;  // connects that fail have to be looked for
  DesiredState desired_;
  EventLog events_;
  EventTracker tracker_{&events_};
  std::unique_ptr<Provider> provider_;  // may be null
  const std::string epoch_;
  const absl::Time start_time_;
  const std::chrono::steady_clock::time_point steady_start_;
  ServerState state_ = ServerState::kStarting;
  uint64_t seq_ = 0;
  bool is_publishing_ = false;
  absl::Time large_built_ = absl::InfinitePast();  // when the last large pool began to be built
  uint64_t applied_revision_ = 0;
  std::list<Waiting> waiting_;
  std::list<WaitingRead> waiting_reads_;
  std::deque<Deferred> deferred_;  // in order; while there is one, later ones line up behind
  std::vector<Draining> drains_;
  std::map<std::string, Condition> conditions_;      // of the daemon around, by code
  std::optional<boost::asio::thread_pool> builder_;  // from the first large pool on
  std::mutex post_mutex_;
  bool is_closed_ = false;  // guarded by post_mutex_: nothing more is posted
  std::thread thread_;
};

}  // namespace sidelb::control
