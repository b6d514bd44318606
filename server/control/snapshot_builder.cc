#include "server/control/snapshot_builder.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace sidelb::control {

std::shared_ptr<PoolSnapshot> BuildSnapshot(
    PoolId id, const DesiredPool& pool, PoolLoad* load,
    absl::FunctionRef<Observed(const BackendObject&)> observe) {
  std::vector<std::pair<uint64_t, Member>> ordered;
  ordered.reserve(pool.backends.size());
  bool is_sorted = true;
  for (const auto& [address, backend] : pool.backends) {
    const Observed observed = observe(*backend);
    const uint64_t order = backend->oldest_claim;
    is_sorted = is_sorted && (ordered.empty() || ordered.back().first < order);
    ordered.emplace_back(order,
                         Member{.address = address,
                                .weight = observed.weight,
                                .backend = observed.backend,
                                .max_connections = backend->effective.max_connections,
                                .admin_state = EffectiveAdminState(backend->effective),
                                .health = observed.health,
                                .is_ejected = observed.is_ejected,
                                .priority = static_cast<uint8_t>(backend->effective.priority)});
  }
  std::vector<uint32_t> order(ordered.size());
  std::iota(order.begin(), order.end(), 0u);
  if (!is_sorted) {
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return ordered[a].first < ordered[b].first; });
  }
  std::vector<Member> members;
  members.reserve(ordered.size());
  for (uint32_t i : order) members.push_back(ordered[i].second);
  return PoolSnapshot::Prepare(id, EffectiveMode(pool.object->spec), std::move(members), load,
                               pool.object->spec.panic_percent, EffectivePick(pool.object->spec));
}

}  // namespace sidelb::control
