// The part of LiveState that builds the snapshots of pools: from what there is, or, where only a
// few backends differ, from the snapshot before.
#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "server/control/live_state.h"
#include "server/control/slow_start.h"
#include "spdlog/spdlog.h"

namespace sidelb::control {
namespace {

void LogPanic(const std::string& pool, const PoolSnapshot* before, const PoolSnapshot& after) {
  const bool was_in_panic = before != nullptr && before->is_in_panic();
  if (was_in_panic == after.is_in_panic()) return;
  if (after.is_in_panic()) {
    spdlog::warn("pool {}: panic, too few backends are healthy: unhealthy ones serve too", pool);
  } else {
    spdlog::info("pool {}: the panic is over", pool);
  }
}

bool IsHashed(Mode mode) { return mode == Mode::kMaglev || mode == Mode::kSourceHash; }

// A table that follows a growing weight would move clients again and again.
absl::Duration SlowStartOf(const PoolSpec& spec) {
  return IsHashed(EffectiveMode(spec)) ? absl::ZeroDuration()
                                       : spec.slow_start.value_or(absl::ZeroDuration());
}

bool CanServe(const BackendObject& object, const LiveBackend& live) {
  const Health health = EffectiveHealth(object, live);
  return EffectiveAdminState(object.effective) == AdminState::kEnabled && !live.is_ejected &&
         (health == Health::kHealthy || (health == Health::kUnknown && live.probe_id == 0));
}

void NoteServing(const BackendObject& object, LiveBackend* live, absl::Time now) {
  const bool can_serve = CanServe(object, *live);
  if (can_serve && !live->could_serve) live->serving_since = now;
  live->could_serve = can_serve;
}

}  // namespace

// Whether `name` is in both states as the same configuration, backends aside.
bool LiveState::IsSamePool(const DesiredState& before, const DesiredState& after,
                           const std::string& name) {
  const DesiredPool* const old_pool = before.FindPool(name);
  const DesiredPool* const pool = after.FindPool(name);
  return old_pool != nullptr && pool != nullptr && old_pool->object->spec == pool->object->spec;
}

// The snapshot of a pool, still without its picker. `dirty` comes to be whole when all backends may
// be concerned after all.
std::shared_ptr<PoolSnapshot> LiveState::BuildPool(const std::string& name,
                                                   const DesiredPool& wanted, DirtyPool& dirty,
                                                   absl::Time now) {
  LivePool& pool = Pool(name);
  const PoolSpec& spec = wanted.object->spec;
  std::optional<OrderedMembers> built;
  if (IsMendable(name, pool, spec, dirty)) built = MendMembers(wanted, pool, dirty, now);
  if (!built.has_value()) {
    built = BuildMembers(name, wanted, pool, now);
    dirty.is_whole = true;
  }
  pool.published_orders = std::move(built->orders);
  auto snapshot = PrepareSnapshot(pool.id, spec, pool.load.get(), std::move(built->members));
  // Who serves may change with the others, for all of them.
  const PoolSnapshot* const before = pool.published.get();
  if (before == nullptr || before->serving_tier() != snapshot->serving_tier() ||
      before->serving_priority() != snapshot->serving_priority()) {
    dirty.is_whole = true;
    touched_.whole_pools.insert(name);
    LogPanic(name, before, *snapshot);
  }
  return snapshot;
}

OrderedMembers LiveState::BuildMembers(const std::string& name, const DesiredPool& wanted,
                                       LivePool& pool, absl::Time now) {
  const absl::Duration slow_start = SlowStartOf(wanted.object->spec);
  // Who has begun to serve, and whether weights have to be scaled.
  absl::Duration next_step = absl::InfiniteDuration();
  uint32_t largest = 0;
  // Both are sorted by address, and all that is wanted lives.
  auto next = pool.backends.begin();
  for (const auto& [address, object] : wanted.backends) {
    while (!(next->first == address)) ++next;
    LiveBackend& live = next->second;
    NoteServing(*object, &live, now);
    largest = std::max(largest, EffectiveWeight(object->effective));
    if (live.could_serve) {
      next_step = std::min(next_step, TimeToNextStep(now - live.serving_since, slow_start));
    }
  }
  const bool is_ramping = next_step != absl::InfiniteDuration();
  if (is_ramping) {
    slow_starts_[name] = now + next_step;
    next_deadline_ = std::min(next_deadline_, now + next_step);
  } else {
    slow_starts_.erase(name);
  }
  const uint32_t scale = is_ramping ? RampScale(largest) : 1;
  for (auto& [address, live] : pool.backends) live.published_order.reset();
  next = pool.backends.begin();
  return OrderMembers(wanted, [&](const BackendObject& object) {
    while (!(next->first == object.address)) ++next;
    LiveBackend& live = next->second;
    const uint32_t weight = EffectiveWeight(object.effective) * scale;
    const uint32_t in_force =
        live.could_serve ? RampedWeight(weight, now - live.serving_since, slow_start) : weight;
    live.weight_in_force = std::max(in_force / scale, std::min(in_force, 1u));
    live.published_order = object.oldest_claim;
    return Observed{.backend = live.backend.get(),
                    .health = EffectiveHealth(object, live),
                    .is_ejected = live.is_ejected,
                    .weight = in_force};
  });
}

// Whether the members before and what is dirty make the members to come.
bool LiveState::IsMendable(const std::string& name, const LivePool& pool, const PoolSpec& spec,
                           const DirtyPool& dirty) const {
  // Each of them may move all that stand behind it.
  constexpr size_t kMost = 64;
  return !dirty.is_whole && pool.published != nullptr && dirty.backends.size() <= kMost &&
         SlowStartOf(spec) == absl::ZeroDuration() && !slow_starts_.contains(name);
}

// nullopt when the members before are not those that the backends remember.
std::optional<OrderedMembers> LiveState::MendMembers(const DesiredPool& wanted, LivePool& pool,
                                                     const DirtyPool& dirty, absl::Time now) {
  const absl::Span<const Member> before = pool.published->members();
  OrderedMembers mended;
  mended.members.reserve(before.size() + dirty.backends.size());
  mended.members.assign(before.begin(), before.end());
  mended.orders = pool.published_orders;
  const auto order_of = [&](const Address& address) {
    const auto live = pool.backends.find(address);
    return live == pool.backends.end() ? nullptr : &live->second.published_order;
  };
  const auto observe = [&](const BackendObject& object) {
    LiveBackend& live = pool.backends.at(object.address);
    NoteServing(object, &live, now);
    live.weight_in_force = EffectiveWeight(object.effective);
    return Observed{.backend = live.backend.get(),
                    .health = EffectiveHealth(object, live),
                    .is_ejected = live.is_ejected,
                    .weight = live.weight_in_force};
  };
  if (!control::MendMembers(wanted, dirty.backends, order_of, observe, &mended)) {
    return std::nullopt;
  }
  return mended;
}

}  // namespace sidelb::control
