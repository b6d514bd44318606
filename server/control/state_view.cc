#include "server/control/state_view.h"

#include <utility>

namespace sidelb::control {

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
  status.effective_weight = pool.published == nullptr ? input.weight : live.weight_in_force;
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

void CountBackend(BackendState state, int change, PoolStatus* pool) {
  const auto add = [change](uint32_t* count) { *count += static_cast<uint32_t>(change); };
  if (state != BackendState::kRemoving) add(&pool->total);
  switch (state) {
    case BackendState::kServing:
      return add(&pool->serving);
    case BackendState::kWarming:
      return;
    case BackendState::kDraining:
      return add(&pool->draining);
    case BackendState::kRemoving:
      return;
    case BackendState::kUnhealthy:
      return add(&pool->unhealthy);
    case BackendState::kDisabled:
      return add(&pool->disabled);
  }
}

void FillServing(const LivePool& pool, PoolStatus* status) {
  if (pool.published == nullptr || pool.backends.empty()) return;
  status->is_in_panic = pool.published->is_in_panic();
  status->takes_sessions = !pool.published->eligible().empty();
  const uint8_t priority = pool.published->serving_priority();
  status->active_priority = priority == UINT8_MAX ? 0 : priority;
}

std::shared_ptr<const BackendObject> ObjectOf(const DesiredPool* pool, const Address& address,
                                              const LiveBackend& live) {
  if (live.removing != nullptr || pool == nullptr) return live.removing;
  const auto found = pool->backends.find(address);
  return found == pool->backends.end() ? nullptr : found->second;
}

std::shared_ptr<StateView> BuildView(const DesiredState& desired, const LiveState& live,
                                     const ObjectFilter& filter) {
  auto view = std::make_shared<StateView>();
  view->revision = desired.revision;
  for (const auto& [name, listener] : desired.listeners) {
    if (!filter.Allows(*listener)) continue;
    view->listeners.push_back({listener, StatusOf(live.FindListener(name))});
  }
  // By name over the pools that are wanted and those whose last backends drain.
  for (const auto& [name, live_pool] : live.pools()) {
    if (!filter.AllowsPool(name)) continue;
    const DesiredPool* pool = desired.FindPool(name);
    PoolStatus pool_status;
    FillServing(live_pool, &pool_status);
    for (const auto& [address, backend] : live_pool.backends) {
      std::shared_ptr<const BackendObject> object = ObjectOf(pool, address, backend);
      if (object == nullptr) continue;
      BackendStatus status = StatusOf(*object, backend, live_pool);
      pool_status.active_connections += status.active_connections;
      CountBackend(status.state, 1, &pool_status);
      if (!filter.Allows(*object, status.state)) continue;
      view->backends.push_back({std::move(object), std::move(status)});
    }
    if (pool != nullptr && filter.Allows(*pool->object)) {
      view->pools.push_back({pool->object, pool_status});
    }
  }
  return view;
}

}  // namespace sidelb::control
