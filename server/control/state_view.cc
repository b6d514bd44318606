#include "server/control/state_view.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"

namespace sidelb::control {
namespace {

template <typename T>
bool Allows(const std::vector<T>& wanted, const T& value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

ListenerStatus StatusOf(const LiveListener* live) {
  ListenerStatus status;
  if (live == nullptr) return status;
  status.is_bound = live->id != 0 && live->error.empty();
  status.error = live->error;
  status.bound_address = live->bound_address;
  status.active_connections = live->load->active.load(std::memory_order_relaxed);
  return status;
}

BackendStatus StatusOf(const BackendObject& object, const LiveBackend& live, const LivePool& pool) {
  BackendStatus status;
  status.health = EffectiveHealth(object, live);
  status.reason = ReasonOf(object, live);
  status.ejected_until = live.ejected_until;
  if (live.report.has_value()) {
    status.detail = live.report->detail;
    status.last_probe_time = absl::FromChrono(live.report->time);
    status.last_probe_latency = absl::FromChrono(live.report->latency);
    status.consecutive_ok = live.report->consecutive_good;
    status.consecutive_failed = live.report->consecutive_bad;
    status.transitions = live.report->transitions;
  }
  status.active_connections = live.backend->load.active.load(std::memory_order_relaxed);
  status.drain_deadline = live.drain_deadline;
  status.state_change_time = live.state_change_time;
  if (live.removing != nullptr) {
    status.state = BackendState::kRemoving;
    status.ineligible_reason = IneligibleReason::kRemoved;
    return status;
  }
  const EligibilityInput input{.admin_state = EffectiveAdminState(object.effective),
                               .health = status.health,
                               .is_ejected = live.is_ejected,
                               .weight = EffectiveWeight(object.effective)};
  status.effective_weight = input.weight;
  const uint8_t tier = pool.published == nullptr ? 1 : pool.published->serving_tier();
  status.ineligible_reason = WhyIneligible(input, tier);
  if (status.ineligible_reason == IneligibleReason::kNone && pool.published != nullptr &&
      !pool.published->is_in_panic() &&
      object.effective.priority != pool.published->serving_priority()) {
    status.ineligible_reason = IneligibleReason::kStandby;
  }
  const uint32_t limit = object.effective.max_connections;
  if (status.ineligible_reason == IneligibleReason::kNone && limit != 0 &&
      status.active_connections >= limit) {
    status.ineligible_reason = IneligibleReason::kFull;
  }
  switch (input.admin_state) {
    case AdminState::kDisabled:
      status.state = BackendState::kDisabled;
      break;
    case AdminState::kDraining:
      status.state = BackendState::kDraining;
      break;
    case AdminState::kEnabled:
      status.state = BackendState::kServing;
      if (status.health == Health::kUnhealthy || live.is_ejected) {
        status.state = BackendState::kUnhealthy;
      } else if (status.health == Health::kUnknown && live.probe_id != 0) {
        status.state = BackendState::kWarming;
      }
      break;
  }
  return status;
}

// One that is removed is no part of the pool any more; its last sessions are.
void Count(const BackendStatus& backend, PoolStatus* pool) {
  pool->active_connections += backend.active_connections;
  if (backend.state != BackendState::kRemoving) ++pool->total;
  switch (backend.state) {
    case BackendState::kServing:
    case BackendState::kWarming:
      ++pool->serving;
      break;
    case BackendState::kDraining:
      ++pool->draining;
      break;
    case BackendState::kRemoving:
      break;
    case BackendState::kUnhealthy:
      ++pool->unhealthy;
      break;
    case BackendState::kDisabled:
      ++pool->disabled;
      break;
  }
}

// A selector whose addresses are looked up, not searched: there may be as many as backends.
class BackendFilter {
 public:
  explicit BackendFilter(const Filter& filter)
      : states_(filter.states), selector_(filter.backends.value_or(Selector{})) {
    addresses_.insert(selector_.addresses.begin(), selector_.addresses.end());
    selector_.addresses.clear();
  }
  bool Allows(const BackendObject& backend, BackendState state) const {
    if (!states_.empty() && std::find(states_.begin(), states_.end(), state) == states_.end()) {
      return false;
    }
    return (addresses_.empty() || addresses_.contains(backend.address)) &&
           Matches(selector_, backend);
  }

 private:
  const std::vector<BackendState>& states_;
  Selector selector_;
  absl::flat_hash_set<Address> addresses_;
};

}  // namespace

std::shared_ptr<const StateView> BuildView(const DesiredState& desired, const LiveState& live,
                                           const Filter& filter) {
  auto view = std::make_shared<StateView>();
  view->revision = desired.revision;
  if (filter.with_listeners) {
    for (const auto& [name, listener] : desired.listeners) {
      if (!Allows(filter.listeners, name) || !Allows(filter.pools, listener->spec.pool)) continue;
      view->listeners.push_back({listener, StatusOf(live.FindListener(name))});
    }
  }
  const BackendFilter backends(filter);
  // By name over the pools that are wanted and those whose last backends drain.
  for (const auto& [name, live_pool] : live.pools()) {
    if (!Allows(filter.pools, name)) continue;
    const DesiredPool* pool = desired.FindPool(name);
    PoolStatus pool_status;
    if (live_pool.published != nullptr && !live_pool.backends.empty()) {
      pool_status.is_in_panic = live_pool.published->is_in_panic();
      const uint8_t priority = live_pool.published->serving_priority();
      pool_status.active_priority = priority == UINT8_MAX ? 0 : priority;
    }
    for (const auto& [address, backend] : live_pool.backends) {
      std::shared_ptr<const BackendObject> object = backend.removing;
      if (object == nullptr) {
        if (pool == nullptr) continue;
        const auto found = pool->backends.find(address);
        if (found == pool->backends.end()) continue;
        object = found->second;
      }
      const BackendStatus status = StatusOf(*object, backend, live_pool);
      Count(status, &pool_status);
      if (!filter.with_backends || !backends.Allows(*object, status.state)) continue;
      view->backends.push_back({std::move(object), status});
    }
    if (pool != nullptr && filter.with_pools) view->pools.push_back({pool->object, pool_status});
  }
  return view;
}

}  // namespace sidelb::control
