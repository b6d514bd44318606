#include "server/control/snapshot_builder.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace sidelb::control {
namespace {

uint64_t FirstClaim(const BackendObject& backend) {
  uint64_t first = UINT64_MAX;
  for (const Claim& claim : backend.claims) first = std::min(first, claim.order);
  return first;
}

}  // namespace

std::shared_ptr<const PoolSnapshot> BuildSnapshot(
    PoolId id, const DesiredPool& pool, PoolLoad* load,
    const std::function<Observed(const Address&)>& observe) {
  std::vector<std::pair<uint64_t, const BackendObject*>> ordered;
  ordered.reserve(pool.backends.size());
  for (const auto& [address, backend] : pool.backends) {
    ordered.emplace_back(FirstClaim(*backend), backend.get());
  }
  std::sort(ordered.begin(), ordered.end());
  std::vector<Member> members;
  members.reserve(ordered.size());
  for (const auto& [order, backend] : ordered) {
    const Observed observed = observe(backend->address);
    members.push_back({.address = backend->address,
                       .weight = EffectiveWeight(backend->effective),
                       .backend = observed.backend,
                       .max_connections = backend->effective.max_connections,
                       .admin_state = EffectiveAdminState(backend->effective),
                       .health = observed.health,
                       .is_ejected = observed.is_ejected,
                       .priority = static_cast<uint8_t>(backend->effective.priority)});
  }
  return PoolSnapshot::Build(id, EffectiveMode(pool.object->spec), std::move(members), load,
                             pool.object->spec.panic_percent);
}

}  // namespace sidelb::control
