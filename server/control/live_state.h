// LiveState: what the shards share with control: listeners' sockets and loads, pools' loads,
// backends with their counts; and what still has to be published to make the shards match the
// desired state.
//
// An object is freed only when no shard can reach it: a backend when every publication that names
// it and one without it have been acknowledged and its `active` is 0, a listener's load likewise.
//
// Thread safety: the control thread. Ownership: the ControlLoop; it must outlive the data plane,
// whose shards hold raw pointers into it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "dataplane/dataplane.h"
#include "dataplane/health/health_checker.h"
#include "dataplane/health/outlier_detector.h"
#include "server/control/batch.h"
#include "server/control/snapshot_builder.h"
#include "server/control/stats.h"

namespace sidelb::control {

struct LiveBackend {
  std::shared_ptr<Backend> backend;  // shared with the health checker
  Health health = Health::kUnknown;  // of its probes
  bool is_ejected = false;
  std::optional<absl::Time> ejected_until;
  ProbeId probe_id = 0;        // 0 = it is not probed; one for all members of a group
  bool follows_probe = false;  // of another member of its group
  uint64_t group_id = 0;       // one for all members of a group by IP; 0 = it is in none
  Address probed;
  std::shared_ptr<const ProbeSettings> probe;
  std::shared_ptr<ProbeCounters> probe_counters;  // from the first probe on, over all changes
  std::optional<HealthReport> report;             // the last one
  // The object that it was, without claims, while its last sessions drain; else null.
  std::shared_ptr<const BackendObject> removing;
  uint64_t removed_in_seq = 0;  // the publication that took it out; 0 = none yet
  uint64_t named_in_seq = 0;    // the last publication with a BackendChange for it
  // When the sessions left are reset.
  std::optional<absl::Time> drain_deadline;
  bool could_serve = false;      // in the last publication
  absl::Time serving_since;      // when it began to
  uint32_t weight_in_force = 0;  // after slow start
  // By which its pool's published members have it; nullopt = they do not.
  std::optional<uint64_t> published_order;
  bool had_sessions = false;  // when it was seen draining: its end is worth a line in the log
  absl::Time state_change_time;
};

struct LivePool {
  PoolId id = 0;
  std::unique_ptr<PoolLoad> load;
  absl::btree_map<Address, LiveBackend> backends;
  Totals gone;  // of backends that are no more
  std::shared_ptr<const PoolSnapshot> published;
  std::vector<uint64_t> published_orders;      // of its members, OrderedMembers
  std::shared_ptr<const ProbeSettings> probe;  // null = its backends are not probed
  OutlierDetector outliers;
  uint64_t failures_seen = 0;
  uint64_t removed_in_seq = 0;  // of the publication that took it from the shards; 0 = on them
  struct Indexed {
    uint32_t weight = 0;
    uint32_t max_connections = 0;
    Grouping grouping = Grouping::kNone;
    friend bool operator==(const Indexed&, const Indexed&) = default;
  };
  // The members of load->index, with what they have there.
  absl::flat_hash_map<Backend*, Indexed> indexed;
};

struct LiveListener {
  ListenerId id = 0;  // of its sockets; 0 = it has none
  ListenerSpec spec;  // that they were opened for
  Address bound_address;
  std::string error;
  absl::Time error_time;
  std::unique_ptr<ListenerLoad> load;
  bool lingers = false;  // its sockets close by themselves, and use `load` until then
};

// What may look different from outside since it was taken last. A name may stand for nothing that
// exists any more.
struct Touched {
  std::set<std::string> listeners;
  std::set<std::string> pools;
  std::set<std::string> whole_pools;  // with all of their backends
  std::vector<BackendKey> backends;

  void Add(Touched other);
};

// What of a pool has to be published anew: some backends, or all that there is. An address may
// stand for a backend that exists no more.
struct DirtyPool {
  bool is_whole = false;
  std::vector<Address> backends;
};

class LiveState {
 public:
  explicit LiveState(DataPlane& data_plane) : data_plane_(data_plane) {}
  ~LiveState();
  LiveState(const LiveState&) = delete;
  LiveState& operator=(const LiveState&) = delete;

  // How a listener of a change gets its sockets.
  struct Opening {
    ListenerSockets sockets;    // bound for it, or
    ListenerId takes_over = 0;  // those of another one, or neither
  };
  using Openings = std::map<std::string, Opening>;

  // Whether `change` wants a port that a shard is about to close: Bind() would fail until the
  // publications so far are acknowledged.
  bool MustWaitToBind(const Change& change) const;
  // Binds what `change` needs. FAILED_PRECONDITION, BIND_FAILED{errno} names the op's field.
  // Dropping the result undoes it.
  absl::StatusOr<Openings> Bind(const Change& change) const;

  // As Bind(), at the start: a listener that cannot be bound is one of FailedListeners() and does
  // without until RetryListeners() succeeds.
  Openings BindStored(const DesiredState& stored, absl::Time now);
  // Tries those of FailedListeners() again that could not be bound. What can be now is committed.
  // Whether some are left.
  bool RetryListeners(const DesiredState& desired);

  // Takes the change over. `before` is the state that it replaces.
  void Commit(const DesiredState& before, const Change& change, Openings openings, absl::Time now);

  // ---- Publications ----
  bool has_pending() const { return has_pending_; }
  // Whether the next publication has a pool whose picker takes long to make.
  bool has_pending_large() const;
  struct Taken {
    Publication publication;
    // Those of its snapshots that have no picker yet, because it takes long to make.
    std::vector<std::shared_ptr<PoolSnapshot>> unfinished;
  };
  Taken Take(uint64_t seq, const DesiredState& desired, absl::Time now);
  void OnAcknowledged(uint64_t seq, const std::vector<ListenError>& errors, absl::Time now);

  // ---- Time ----
  // What happened to backends that drain.
  struct DrainEvents {
    std::vector<std::pair<BackendKey, uint32_t>> resets;  // at the deadline: sessions left
    std::vector<BackendKey> ended;                        // their last session is over
  };
  // Handles deadlines and frees what is gone.
  DrainEvents Tick(absl::Time now);
  // Reads the counts of those anew that joined an index: to be called a while after the
  // acknowledgement, because a shard may have been between looking for the index and counting.
  void RepairIndexes();
  // Whether Tick() and RepairIndexes() should be called from time to time.
  bool needs_tick() const {
    return !draining_.empty() || !retired_.empty() || !joined_index_.empty();
  }
  // Not later than the next deadline of a drain or step of a slow start; InfiniteFuture() when
  // there is none.
  absl::Time next_deadline() const { return next_deadline_; }

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
  // For whoever tells others what changed: all of it, or what is settled, that is to say in force
  // on every shard.
  enum class Touch : uint8_t { kAll, kSettled };
  Touched TakeTouched(Touch what);
  const std::map<std::string, LivePool>& pools() const { return pools_; }
  const LiveListener* FindListener(const std::string& name) const;
  const LiveBackend* FindBackend(const BackendKey& key) const;
  // Listeners that could not be bound, or bound but not listen, by name.
  std::vector<std::pair<std::string, const LiveListener*>> FailedListeners() const;

 private:
  enum class Source : uint8_t { kNone, kKeeps, kTakesOver, kBinds };
  struct ListenerPlan {
    Source source = Source::kNone;
    ListenerId takes_over = 0;
    Address bound_address;                // of what it takes over
    const std::string* holder = nullptr;  // another listener that keeps this address
  };
  using ListenerPlans = std::map<std::string, ListenerPlan>;
  ListenerPlans PlanListeners(const Change& change) const;
  std::string HolderHint(const std::string& name, const Address& address,
                         const std::string* holder) const;

  void CommitListener(const std::string& name, const ListenerObject* wanted, Opening* opening,
                      const std::set<ListenerId>& taken);
  void CloseSockets(ListenerId id, const Address& bound_address);
  void CommitBackend(const DesiredState& before, const Change& change, const BackendKey& key,
                     absl::Time now);
  void CommitRemoval(const BackendKey& key, const BackendObject& old_object, const Change& change,
                     absl::Time now);
  void StartDrain(const BackendKey& key, LiveBackend* live, const DrainSpec& drain, absl::Time now);
  static bool IsSamePool(const DesiredState& before, const DesiredState& after,
                         const std::string& name);
  void SyncProbes(const DesiredState& before, const Change& change, absl::Time now);
  bool SyncProbeSettings(const DesiredState& desired, const std::string& name, LivePool& pool);
  void SyncProbe(const DesiredPool* wanted, const BackendKey& key, LivePool& pool,
                 LiveBackend& live);
  void StopProbing(LiveBackend& live);
  void TakeReport(const DesiredPool* wanted, const BackendKey& key, LiveBackend& live,
                  HealthReport report, absl::Time now);
  void TakeHealth(const DesiredPool* wanted, const BackendKey& key, LiveBackend& live,
                  Health health, absl::Time now);
  void EndHealthLines();
  void TakeEjection(const BackendKey& key, LiveBackend& live, std::optional<uint64_t> until_ms,
                    absl::Time now);
  BackendChange& PendingChange(const BackendKey& key, LiveBackend* live);
  LivePool& Pool(const std::string& name);
  bool IsFree(const BackendKey& key, const LiveBackend& live) const;

  // live_pools.cc
  std::shared_ptr<PoolSnapshot> BuildPool(const std::string& name, const DesiredPool& wanted,
                                          DirtyPool& dirty, absl::Time now);
  OrderedMembers BuildMembers(const std::string& name, const DesiredPool& wanted, LivePool& pool,
                              absl::Time now);
  bool IsMendable(const std::string& name, const LivePool& pool, const PoolSpec& spec,
                  const DirtyPool& dirty) const;
  std::optional<OrderedMembers> MendMembers(const DesiredPool& wanted, LivePool& pool,
                                            const DirtyPool& dirty, absl::Time now);

  // live_groups.cc
  struct Group;  // the backends of one IP
  void SyncGroups(const DesiredPool& wanted, const std::string& name, LivePool& pool,
                  absl::Time now);
  void SyncGroup(const DesiredPool& wanted, const std::string& name, LivePool& pool,
                 const Group& group, absl::Time now);

  // live_index.cc
  void UpdateIndexBefore(LivePool& pool, const PoolSnapshot* next, const DirtyPool& dirty);
  void UpdateIndexAfter(const std::string& name, LivePool& pool, const DirtyPool& dirty);
  void PutInIndex(const std::string& name, LivePool& pool, const Member& member);

  DataPlane& data_plane_;
  uint64_t next_id_ = 1;
  std::map<std::string, LivePool> pools_;
  std::map<std::string, LiveListener> listeners_;
  // Removed, or draining until its last session is over; also with a deadline.
  std::set<BackendKey> draining_;
  absl::Time next_deadline_ = absl::InfiniteFuture();
  struct Retired {
    std::unique_ptr<ListenerLoad> load;
    uint64_t seq = 0;  // of the publication that closed it; 0 = none yet
  };
  std::vector<Retired> retired_;
  std::vector<std::unique_ptr<ListenerLoad>> lingering_loads_;  // until the end of the shards
  // Sockets that shards still have to close.
  struct Closing {
    Address bound_address;
    uint64_t seq = 0;  // of the publication that closes them; 0 = none yet
  };
  std::vector<Closing> closing_;

  bool has_pending_ = false;
  std::map<std::string, DirtyPool> dirty_pools_;
  std::vector<ListenerChange> listener_changes_;
  std::map<BackendKey, BackendChange> backend_changes_;
  std::map<std::string, DirtyPool> in_flight_pools_;
  std::map<std::string, absl::Time> slow_starts_;  // pools, and when the next step is due
  std::set<std::string> leaving_pools_;            // removed, maybe not from the shards yet
  std::map<std::string, std::vector<Address>> joined_index_;  // by pool, for RepairIndexes()
  uint64_t acknowledged_seq_ = 0;

  // What was touched passes through these with the publications.
  Touched touched_;
  Touched taken_touched_;
  Touched settled_touched_;
  uint64_t taken_seq_ = 0;

  std::map<ProbeId, BackendKey> probe_keys_;  // of a group's probe: the member that is probed
  std::vector<ProbeTarget> probes_to_put_;
  std::vector<ProbeId> probes_to_remove_;
  size_t health_lines_ = 0;  // of the log, wanted for what goes on
};

// Where a backend says that it is to be probed.
Address ProbeAddress(const BackendSpec& backend, const PoolSpec& pool);
// The report of a group's probe, as the members that were not probed have it: it names who was.
HealthReport ReportOfGroup(HealthReport report, const Address& probed);
// Forgets what probes said; a probe that it shares goes on.
void ForgetProbe(LiveBackend& live);

// What is true of a backend's health, the operator's word included.
Health EffectiveHealth(const BackendObject& object, const LiveBackend& live);
HealthReason ReasonOf(const BackendObject& object, const LiveBackend& live);

// All that is counted of a backend so far.
Totals TotalsOf(const LiveBackend& live);

}  // namespace sidelb::control
