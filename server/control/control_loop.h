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
#include "server/control/audit_log.h"
#include "server/control/batch.h"
#include "server/control/controller.h"
#include "server/control/event_log.h"
#include "server/control/event_tracker.h"
#include "server/control/guard.h"
#include "server/control/lease_table.h"
#include "server/control/live_state.h"
#include "server/control/request_log.h"
#include "server/control/store.h"
#include "server/control/stored_state.h"

namespace sidelb::control {

class ControlLoop {
 public:
  static absl::StatusOr<std::unique_ptr<ControlLoop>> Start(const Controller::Options& options);
  ~ControlLoop();
  ControlLoop(const ControlLoop&) = delete;
  ControlLoop& operator=(const ControlLoop&) = delete;

  // Runs `function` on the control thread; false, and it never runs, after Stop().
  bool Post(std::function<void()> function);
  // The same; on the control thread it runs at once. What that thread posts itself may come behind
  // what others post later, because Asio queues it when the present handler returns.
  bool PostOrRun(std::function<void()> function);
  // Answers what waits. Idempotent.
  void Stop();

  void Apply(ApplyRequest request, Controller::ApplyCallback callback);
  void GetState(Filter filter, uint64_t min_revision, absl::Time deadline,
                Controller::StateCallback callback);
  Info GetInfo() const;
  void SetCondition(const std::string& code, const std::optional<std::string>& detail);
  absl::StatusOr<RenewLeaseResponse> RenewLease(const RenewLeaseRequest& request);
  void AskShards(std::function<void()> callback) { data_plane_->AskShards(std::move(callback)); }
  Stats GetStats(const Filter& filter, bool reset_peaks) const;
  Subscription Subscribe(const Filter& filter, bool with_view) const;
  EventLog& events() { return events_; }  // any thread
  void Drain(absl::Duration timeout, std::function<void(uint64_t)> callback);
  void NoteRejected(const ApplyRequest& request, const absl::Status& status);
  void NoteDone(const ApplyRequest& request, std::string_view summary);
  AuditPage ListAudit(const AuditQuery& query) const { return audit_.List(query); }

 private:
  // Who waits for an Apply that is not committed yet.
  struct Waiter {
    WaitFor wait = WaitFor::kApplied;
    std::optional<absl::Duration> wait_timeout;
    absl::Time answer_by;
    bool is_repeat = false;  // of a request that came before, by its request_id
    Controller::ApplyCallback callback;
  };
  // An Apply that was accepted. With a store it waits to be durable.
  struct Pending {
    ApplyRequest request;
    Change change;
    LiveState::Openings openings;
    std::vector<Waiter> waiters;
    absl::Time time;
    uint64_t request_number = 0;
    uint64_t audit_number = 0;
    bool was_remade = false;  // since it was given to the store
  };
  // An Apply that waits.
  struct Waiting {
    ApplyResponse response;  // replayed: to a repetition
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

  // How often active counts are read while someone waits for them.
  static constexpr absl::Duration kWatchedTick = absl::Milliseconds(50);
  static constexpr absl::Duration kDefaultWait = absl::Seconds(5);

  explicit ControlLoop(const Controller::Options& options);
  ProviderPort MakePort();
  // Wall-clock time that no one can set: deadlines keep their length.
  absl::Time Now() const;
  absl::Time FromWallClock(absl::Time deadline) const;
  // False, with nothing done, when it has to wait for sockets to be closed.
  bool TryApply(ApplyRequest& request, Controller::ApplyCallback& callback);
  void Commit(Pending one);

  // control_leases.cc: what comes of time alone.
  absl::Status HoldLease(const ApplyRequest& request, absl::Time now);
  absl::StatusOr<LeaseTable::Renewal> Renew(const RenewLeaseRequest& request, absl::Time now);
  void OnRenewal(const LeaseTable::Renewal& renewal, absl::Time now);
  void AdvanceLeases(absl::Time now);
  void ActOnLease(const std::string& owner, LeaseEffect effect, absl::Time now);
  void AdvanceOverrides(absl::Time now);
  void NoteExpiries(const Change& change);
  void CommitOwn(Change change, std::string_view who, absl::Time now);
  uint32_t CountClaims(std::string_view owner) const;
  std::vector<Lease> ListLeases() const;

  // control_loop_store.cc
  void Load(const StoredState& stored);
  const DesiredState& candidate() const;
  bool AnswerRepeat(const ApplyRequest& request, Controller::ApplyCallback& callback);
  bool HasPendingListeners() const;
  bool has_unsaved() const {
    return !unsaved_.empty() || !unsaved_audit_.empty() || !unsaved_requests_.empty() ||
           !withdrawn_.empty() || has_new_leases_;
  }
  bool MustBeStored(const ApplyRequest& request, const Change& change) const;
  void WarnUnstored(const ApplyRequest& request, Change* change) const;
  void RemakePending();
  void WriteNext();
  void OnStored(const absl::Status& status);
  void Fail(Pending* one, const absl::Status& status);
  void FailPending(const absl::Status& status);
  AuditEntry EntryOf(const Pending& one) const;
  void Note(const ApplyRequest& request, std::string_view summary, const absl::Status& status);
  void Keep(const Pending& one, const ApplyResponse& response, absl::Time now);
  void AddStoreInfo(Info* info) const;
  void RetryListeners(absl::Time now);
  absl::Time NextStoreTick() const;
  void FlushStore();

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

  // control_waits.cc
  static std::string NameOf(const BackendKey& key);
  void Wait(Waiting waiting, absl::Time now);
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
  LeaseTable leases_;
  Guard guard_;
  std::optional<absl::Time> next_expiry_;  // of an override; nullopt = not known yet
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
  std::map<std::string, Condition> conditions_;  // of the daemon around, by code
  RequestLog requests_;
  AuditLog audit_;

  // What the store has still to be told. Without a store none of it is used.
  std::shared_ptr<Store> store_;
  std::vector<Condition> store_conditions_;  // of its opening
  std::deque<Pending> pending_;              // in order, each on top of the one before
  size_t in_flight_ = 0;                     // how many of them the store is writing
  bool is_writing_ = false;
  StoreKeys unsaved_;  // rows of changes that did not wait for the store
  std::vector<AuditEntry> unsaved_audit_;
  // Answers that differ from those that a group wrote, and the numbers of requests and audit
  // entries that it wrote as accepted and that were refused after all. The first ones are being
  // written.
  std::vector<StoredRequest> unsaved_requests_;
  std::vector<std::pair<uint64_t, uint64_t>> withdrawn_;
  size_t writing_requests_ = 0, writing_withdrawn_ = 0;
  bool has_new_leases_ = false;  // that the store does not know
  bool writes_leases_ = false;
  StoreKeys writing_;  // what is being written
  std::vector<AuditEntry> writing_audit_;
  uint64_t writing_revision_ = 0;
  uint64_t stored_revision_ = 0;
  std::optional<Condition> store_failing_;
  absl::Time next_save_ = absl::InfinitePast();  // of what nobody waits for, after a failure
  absl::Time next_listener_retry_ = absl::InfiniteFuture();
  std::function<void()> on_flushed_;
  bool is_store_closed_ = false;                     // nothing more is written
  std::optional<boost::asio::thread_pool> builder_;  // from the first large pool on
  std::mutex post_mutex_;
  bool is_closed_ = false;  // guarded by post_mutex_: nothing more is posted
  std::thread thread_;
};

}  // namespace sidelb::control
