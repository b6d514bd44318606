#include "server/control/pool_reading.h"

#include "server/control/state_view.h"

namespace sidelb::control {

std::optional<PoolReading> ReadPool(const DesiredState& desired, const LiveState& live,
                                    const std::string& pool, const std::string& owner) {
  const DesiredPool* wanted = desired.FindPool(pool);
  const auto found = live.pools().find(pool);
  if (wanted == nullptr) return std::nullopt;
  PoolReading reading;
  if (found == live.pools().end()) return reading;
  const LivePool& live_pool = found->second;
  reading.is_probed = live_pool.probe != nullptr;
  reading.entries.reserve(wanted->backends.size());
  for (const auto& [address, object] : wanted->backends) {
    PoolReading::Entry entry{.address = address};
    for (const Claim& claim : object->claims) {
      if (claim.owner == owner) {
        entry.mine = claim.spec;
      } else {
        entry.has_others = true;
      }
    }
    const auto backend = live_pool.backends.find(address);
    if (backend != live_pool.backends.end()) {
      const BackendState state = StatusOf(*object, backend->second, live_pool).state;
      entry.serves = state == BackendState::kServing && EffectiveWeight(object->effective) > 0;
      entry.is_warming = state == BackendState::kWarming;
    }
    reading.entries.push_back(std::move(entry));
  }
  return reading;
}

uint64_t ConnectFailures(const LiveState& live, const std::string& pool) {
  const auto found = live.pools().find(pool);
  return found == live.pools().end() ? 0
                                     : found->second.load->failures.load(std::memory_order_relaxed);
}

}  // namespace sidelb::control
