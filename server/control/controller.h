// Controller: the control thread and all that it owns: desired state, publications, drains, waits.
// The one door to the control plane for rpc and providers.
//
// Thread safety: Apply(), the reads and the shutdown calls may be called by any thread; they post
// to the control thread and never block. Callbacks run on the control thread: they must be quick
// and must not throw. Start() and Stop() by the thread that owns it. Ownership: owns the DataPlane.
// Server owns it and stops gRPC before it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/control/event_log.h"
#include "server/control/lease_table.h"
#include "server/control/model.h"
#include "server/control/provider.h"
#include "server/control/stats.h"
#include "server/control/store.h"

namespace sidelb::control {

class ControlLoop;

class Controller {
 public:
  struct Options {
    size_t shards = 1;
    uint64_t max_connections = 0;  // 0 = from RLIMIT_NOFILE
    std::chrono::microseconds busy_poll{0};
    size_t event_log_bytes = EventLog::kMaxBytes;
    absl::Duration min_lease_ttl = LeaseTable::kMinTtl;
    MakeProvider make_provider = nullptr;       // of backends besides the API; null = none
    std::shared_ptr<Store> store;               // null = memory only
    std::shared_ptr<const StoredState> stored;  // what `store` held when it was opened
  };
  using ApplyCallback = std::function<void(absl::StatusOr<ApplyResponse>)>;
  using StateCallback = std::function<void(absl::StatusOr<std::shared_ptr<const StateView>>)>;
  using StatsCallback = std::function<void(absl::StatusOr<Stats>)>;
  using SubscribeCallback = std::function<void(std::optional<Subscription>)>;
  using InfoCallback = std::function<void(Info)>;
  using LeaseCallback = std::function<void(absl::StatusOr<RenewLeaseResponse>)>;
  using AuditCallback = std::function<void(absl::StatusOr<AuditPage>)>;

  // Starts the shards and the control thread.
  static absl::StatusOr<std::unique_ptr<Controller>> Start(const Options& options);
  ~Controller();  // stops
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // One atomic batch. Calls back exactly once: with an error (nothing changed), or when `wait` is
  // reached or `wait_timeout` ran out. With a store nothing of it shows before it is durable; when
  // it cannot be made so, the error is UNAVAILABLE (STORE_UNAVAILABLE). After Stop() with
  // UNAVAILABLE, on the calling thread.
  void Apply(ApplyRequest request, ApplyCallback callback);

  // For the audit: a write that was refused before Apply(), because of its shape or its caller. Of
  // `request` owner, request_id, comment and caller are read.
  void NoteRejected(ApplyRequest request, absl::Status status);
  // The same of something else that was done, in short words.
  void NoteDone(ApplyRequest request, std::string summary);

  void ListAudit(AuditQuery query, AuditCallback callback);

  // Everything that `filter` selects, at one revision >= `min_revision`. OUT_OF_RANGE
  // (FUTURE_REVISION) when that is not reached by `deadline`.
  void GetState(Filter filter, uint64_t min_revision, absl::Time deadline, StateCallback callback);

  void GetInfo(InfoCallback callback);

  // A condition of the daemon around the control plane, shown by GetInfo from now on; without
  // `detail` it is over.
  void SetCondition(std::string code, std::optional<std::string> detail);

  // An owner's promise to go on: creates, renews, takes over or releases its lease.
  void RenewLease(RenewLeaseRequest request, LeaseCallback callback);

  // Calls back with true once every shard has answered. After Stop() with false, on the calling
  // thread; a call that Stop() interrupts is dropped.
  void AskShards(std::function<void(bool are_alive)> callback);

  // The counters of all that `filter` selects, as GetState() does. With `reset_peaks` the peaks of
  // what was selected begin anew after the reading.
  void GetStats(Filter filter, bool reset_peaks, StatsCallback callback);

  // Where a watch may begin now, with what is there (`with_view`) or without. nullopt after Stop().
  void Subscribe(Filter filter, bool with_view, SubscribeCallback callback);

  // What happens from there on. Lives as long as the controller.
  EventLog& events();

  // From now on writes are refused (UNAVAILABLE, SERVER_DRAINING), listeners close after what is
  // queued, and sessions may end by themselves until `timeout`. Calls back when none is left or the
  // time is up, with the number of sessions left.
  void Drain(absl::Duration timeout, std::function<void(uint64_t sessions_left)> callback);

  // Resets what is left, joins the shards and the control thread. Idempotent.
  void Stop();

 private:
  explicit Controller(std::unique_ptr<ControlLoop> loop);

  std::unique_ptr<ControlLoop> loop_;
};

}  // namespace sidelb::control
