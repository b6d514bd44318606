// EventTracker: notices what changed since it looked last, and writes it to the event log.
//
// Counters cause no events. Of one backend it tells at most kMaxEventsPerSecond changes of status a
// second, and the sessions of one that drains once a second; what is held back comes with the last
// state a little later. Changes of configuration are never held back.
//
// Thread safety: the control thread. Time is an argument. Ownership: the ControlLoop; the log must
// outlive it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"
#include "server/control/desired_state.h"
#include "server/control/event_log.h"
#include "server/control/live_state.h"

namespace sidelb::control {

class EventTracker {
 public:
  static constexpr uint32_t kMaxEventsPerSecond = 4;

  explicit EventTracker(EventLog* log) : log_(log) {}

  // Looks at what `live` touched: with an `actor`, the owner of an Apply, at all of it; else at
  // what is settled, so that who hears of a backend that serves may rely on every shard to use it.
  void Record(const DesiredState& desired, LiveState& live, const std::string& actor,
              absl::Time now);

  // A lease became `after`; the next Record() tells it.
  void NoteLease(std::optional<Lease> before, std::optional<Lease> after);

  // When Record() should be called for what was held back; InfiniteFuture() when there is nothing.
  absl::Time next_look() const;

  // Of all configuration that the log has told; see config_digest.h.
  uint64_t digest() const { return digest_; }

 private:
  // What the log has last said of an object.
  struct ToldBackend {
    std::shared_ptr<const BackendObject> object;
    BackendState state = BackendState::kWarming;
    Health health = Health::kUnknown;
    HealthReason reason = HealthReason::kNotChecked;
    IneligibleReason ineligible_reason = IneligibleReason::kNone;
    std::optional<absl::Time> drain_deadline;
    std::optional<absl::Time> ejected_until;
    uint64_t active = 0;
    absl::Time second;       // when the present second began
    uint32_t in_second = 0;  // changes of status told in it
    bool is_held_back = false;
  };
  struct ToldPool {
    std::shared_ptr<const PoolObject> object;
    PoolStatus status;
    PoolStatus counts;  // of `backends`, by state
    absl::btree_map<Address, ToldBackend> backends;
  };
  struct ToldListener {
    std::shared_ptr<const ListenerObject> object;
    ListenerStatus status;
  };
  struct HeldBack {
    absl::Time until;
    BackendKey key;
  };

  void LookAtListener(const DesiredState& desired, const LiveState& live, const std::string& name);
  void LookAtBackend(const DesiredState& desired, const LiveState& live, const BackendKey& key,
                     absl::Time now);
  void LookAtPool(const DesiredState& desired, const LiveState& live, const std::string& name);
  ToldBackend* FindTold(const BackendKey& key);
  bool MayTell(const BackendKey& key, const BackendStatus& status, ToldBackend* told,
               absl::Time now);
  size_t object_count() const;

  EventLog* const log_;
  std::map<std::string, ToldListener> listeners_;
  std::map<std::string, ToldPool> pools_;
  size_t backend_count_ = 0;
  uint64_t digest_ = 0;
  std::deque<HeldBack> held_back_;  // by time
  // Of the Record() under way.
  std::vector<Event> events_;
  std::vector<Event> pools_put_;
  std::vector<Event> pools_removed_;
  std::vector<Event> leases_;
};

}  // namespace sidelb::control
