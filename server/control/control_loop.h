// ControlLoop: the work of the Controller on the control thread.
//
// Thread safety: Start(), Stop() and the destructor by the owner, Post() by any thread, the rest on
// the control thread only. Ownership: the Controller.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/dataplane.h"
#include "server/control/batch.h"
#include "server/control/controller.h"
#include "server/control/live_state.h"

namespace sidelb::control {

class ControlLoop {
 public:
  static absl::StatusOr<std::unique_ptr<ControlLoop>> Start(const Controller::Options& options);
  ~ControlLoop();
  ControlLoop(const ControlLoop&) = delete;
  ControlLoop& operator=(const ControlLoop&) = delete;

  // Runs `function` on the control thread; false after Stop().
  bool Post(std::function<void()> function);
  void Stop();

  void Apply(ApplyRequest request, Controller::ApplyCallback callback);
  void GetState(Filter filter, uint64_t min_revision, absl::Time deadline,
                Controller::StateCallback callback);
  Info GetInfo() const;
  void Drain(absl::Duration timeout, std::function<void(uint64_t)> callback);

 private:
  // An Apply that waits.
  struct Waiting {
    ApplyResponse response;
    WaitFor wait = WaitFor::kApplied;
    absl::Time deadline;
    std::vector<BackendKey> leaving;  // what DRAINED waits for
    Controller::ApplyCallback callback;
  };
  struct WaitingRead {
    Filter filter;
    uint64_t min_revision = 0;
    absl::Time deadline;
    Controller::StateCallback callback;
  };
  struct Draining {
    absl::Time deadline;
    std::function<void(uint64_t)> callback;
  };

  ControlLoop();
  void OnApplied(uint64_t seq, uint64_t revision, std::vector<ListenError> errors);
  void OnReports(std::vector<HealthReport> reports);
  void PublishNext();
  void FollowProbes();
  void Tick();
  void ScheduleTick(std::chrono::milliseconds wait);
  bool Advance(Waiting* waiting, absl::Time now);
  void CheckWaiting(absl::Time now);
  bool CheckLeaving(Waiting* waiting);
  void FailAll();
  static absl::Status Stopping();

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  bool is_tick_scheduled_ = false;
  std::unique_ptr<DataPlane> data_plane_;
  std::unique_ptr<LiveState> live_;
  std::unique_ptr<HealthChecker> health_;
  DesiredState desired_;
  std::string epoch_;
  absl::Time start_time_;
  ServerState state_ = ServerState::kStarting;
  uint64_t seq_ = 0;
  bool is_publishing_ = false;
  uint64_t applied_revision_ = 0;
  std::list<Waiting> waiting_;
  std::list<WaitingRead> waiting_reads_;
  std::optional<Draining> draining_;
  std::atomic<bool> is_stopped_{false};
  std::thread thread_;
};

}  // namespace sidelb::control
