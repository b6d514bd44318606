// LiveState: what the shards share with control: listeners' sockets and loads, pools' loads,
// backends with their counts; and what still has to be published to make the shards match the
// desired state.
//
// An object is freed only when no shard can reach it: a backend when a publication without it has
// been acknowledged and its `active` is 0, a listener's load likewise.
//
// Thread safety: the control thread. Ownership: the Controller; outlived by nothing of the shards
// (they are stopped first).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"
#include "dataplane/dataplane.h"
#include "dataplane/health/health_checker.h"
#include "dataplane/health/outlier_detector.h"
#include "server/control/batch.h"

namespace sidelb::control {

struct LiveBackend {
  std::shared_ptr<Backend> backend;
  Health health = Health::kUnknown;  // of its probes
  bool is_ejected = false;
  std::optional<absl::Time> ejected_until;
  ProbeId probe_id = 0;  // 0 = it is not probed
  Address probed;
  std::shared_ptr<const ProbeSettings> probe;
  std::optional<HealthReport> report;  // the last one
  // The object that it was, without claims, while its last sessions drain; else null.
  std::shared_ptr<const BackendObject> removing;
  uint64_t removed_in_seq = 0;  // the publication that took it out; 0 = none yet
  std::optional<absl::Time> drain_deadline;
  DrainAction on_deadline = DrainAction::kReset;
  absl::Time state_change_time;
};

struct LivePool {
  PoolId id = 0;
  std::unique_ptr<PoolLoad> load;
  absl::btree_map<Address, LiveBackend> backends;
  std::shared_ptr<const PoolSnapshot> published;
  std::shared_ptr<const ProbeSettings> probe;  // null = its backends are not probed
  OutlierDetector outliers;
  uint64_t failures_seen = 0;
  uint64_t published_in_seq = 0;
  uint64_t removed_in_seq = 0;  // of the publication that took it from the shards; 0 = on them
};

struct LiveListener {
  ListenerId id = 0;  // of its sockets; 0 = it has none
  ListenerSpec spec;  // that they were opened for
  Address bound_address;
  std::string error;
  std::unique_ptr<ListenerLoad> load;
};

class LiveState {
 public:
  explicit LiveState(DataPlane& data_plane) : data_plane_(data_plane) {}
  LiveState(const LiveState&) = delete;
  LiveState& operator=(const LiveState&) = delete;

  // How each listener of a change gets its sockets.
  struct Opening {
    ListenerSockets sockets;    // bound for it, or
    ListenerId takes_over = 0;  // those of another one, or neither
  };
  using Openings = std::map<std::string, Opening>;

  // Binds what `change` needs. FAILED_PRECONDITION, BIND_FAILED{errno} names the op's field.
  // Dropping the result undoes it.
  absl::StatusOr<Openings> Bind(const Change& change) const;

  // Takes the change over. `before` is the state that it replaces. Returns the backends that it
  // removed, drained or disabled.
  std::vector<BackendKey> Commit(const DesiredState& before, const Change& change,
                                 Openings openings, absl::Time now);

  // ---- Publications ----
  bool has_pending() const { return has_pending_; }
  Publication Take(uint64_t seq, const DesiredState& desired);
  void OnAcknowledged(uint64_t seq, const std::vector<ListenError>& errors);

  // ---- Time ----
  // Handles deadlines, frees what is gone. True when something drains, so that it should be called
  // again soon. *freed gets the backends that are gone for good.
  bool Tick(absl::Time now, std::vector<BackendKey>* freed);

  // ---- Health (live_health.cc) ----
  void OnReports(const DesiredState& desired, std::vector<HealthReport> reports, absl::Time now);
  // What the health checker has to do since the last call.
  std::vector<ProbeTarget> TakeProbesToPut() { return std::exchange(probes_to_put_, {}); }
  std::vector<ProbeId> TakeProbesToRemove() { return std::exchange(probes_to_remove_, {}); }
  // Ejects and takes back by failed connects. True when it should be called again soon.
  bool CheckOutliers(const DesiredState& desired, absl::Time now);

  // Closes every listener: the first step of a shutdown.
  void CloseListeners();

  // ---- Reading ----
  const std::map<std::string, LivePool>& pools() const { return pools_; }
  const LiveListener* FindListener(const std::string& name) const;
  const LiveBackend* FindBackend(const BackendKey& key) const;
  // Reports listeners that could be bound but not listen: name and text.
  std::vector<std::pair<std::string, std::string>> ListenerErrors() const;

 private:
  void CommitListener(const std::string& name, const ListenerObject* wanted, Opening* opening,
                      std::set<ListenerId>* taken);
  void SyncProbes(const DesiredState& desired, const std::string& name);
  void StopProbing(LiveBackend& live);
  bool CommitBackend(const DesiredState& before, const Change& change, const BackendKey& key,
                     absl::Time now);
  LivePool& Pool(const std::string& name);
  void UpdateIndexBefore(LivePool& pool, const PoolSnapshot* next);
  void UpdateIndexAfter(LivePool& pool);

  DataPlane& data_plane_;
  uint64_t next_id_ = 1;
  std::map<std::string, LivePool> pools_;
  std::map<std::string, LiveListener> listeners_;
  struct Retired {
    std::unique_ptr<ListenerLoad> load;
    uint64_t seq = 0;  // of the publication that closed it; 0 = none yet
  };
  std::vector<Retired> retired_;

  bool has_pending_ = false;
  std::set<std::string> dirty_pools_;
  std::vector<ListenerChange> listener_changes_;
  std::vector<BackendChange> backend_changes_;
  std::set<std::string> in_flight_pools_;
  std::set<std::string> resync_pools_;  // whose index is read anew at the next tick
  uint64_t acknowledged_seq_ = 0;

  std::map<ProbeId, BackendKey> probe_keys_;
  std::vector<ProbeTarget> probes_to_put_;
  std::vector<ProbeId> probes_to_remove_;
};

// What is true of a backend's health, the operator's word included.
Health EffectiveHealth(const BackendObject& object, const LiveBackend& live);
HealthReason ReasonOf(const BackendObject& object, const LiveBackend& live);

}  // namespace sidelb::control
