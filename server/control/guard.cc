#include "server/control/guard.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "fmt/format.h"
#include "server/control/errors.h"

namespace sidelb::control {
namespace {

bool IsEnabled(const BackendObject* backend) {
  return backend != nullptr && EffectiveAdminState(backend->effective) == AdminState::kEnabled &&
         EffectiveWeight(backend->effective) > 0;
}

// Priorities and fullness aside: a backup serves when those before it are gone.
bool IsEligible(const BackendObject* backend, const LivePool& pool) {
  if (!IsEnabled(backend)) return false;
  const auto live = pool.backends.find(backend->address);
  if (live == pool.backends.end()) return false;
  const uint8_t tier = pool.published == nullptr ? 1 : pool.published->serving_tier();
  return WhyIneligible({.admin_state = AdminState::kEnabled,
                        .health = EffectiveHealth(*backend, live->second),
                        .is_ejected = live->second.is_ejected,
                        .weight = 1},
                       tier) == IneligibleReason::kNone;
}

// Whether `backend`, as the batch leaves it, would be enabled without what the batch imposes.
bool IsEnabledByClaims(const BackendObject* backend, const BackendObject& before) {
  if (backend == nullptr) return false;
  BackendObject claimed = *backend;
  claimed.override = before.override;
  Merge(&claimed);
  return IsEnabled(&claimed);
}

// A pool may go when no traffic goes with it: no listener led to it, or all of them lead elsewhere.
bool TakesListeners(const DesiredState& before, const DesiredState& next, const std::string& pool) {
  return std::any_of(before.listeners.begin(), before.listeners.end(), [&](const auto& entry) {
    return entry.second->spec.pool == pool && next.FindListener(entry.first) == nullptr;
  });
}

bool IsRecent(absl::Time time, absl::Time now) { return time > now - Guard::kWindow; }

}  // namespace

std::vector<PoolLoss> ReadLosses(const DesiredState& before, const Change& change,
                                 const LiveState& live) {
  std::vector<PoolLoss> losses;
  for (auto it = change.backends.begin(); it != change.backends.end();) {
    PoolLoss loss{.pool = it->first};
    const auto live_pool = live.pools().find(loss.pool);
    const bool is_there = live_pool != live.pools().end();
    const DesiredPool* next_pool = change.next.FindPool(loss.pool);
    const bool is_guarded = next_pool != nullptr || TakesListeners(before, change.next, loss.pool);
    for (; it != change.backends.end() && it->first == loss.pool; ++it) {
      const Address& address = it->second;
      const BackendObject* old = before.FindBackend(loss.pool, address);
      const BackendObject* next = change.next.FindBackend(loss.pool, address);
      if (IsEnabled(next)) {
        if (!IsEnabled(old)) loss.added.push_back(address);
        continue;
      }
      if (!is_there || !IsEligible(old, live_pool->second)) continue;
      loss.lost.push_back(address);
      loss.connections += live_pool->second.backends.at(address).backend->load.active.load(
          std::memory_order_relaxed);
      if (is_guarded && !IsEnabledByClaims(next, *old)) loss.guarded.push_back(address);
    }
    if (loss.lost.empty() && loss.added.empty()) continue;
    if (!loss.lost.empty()) {
      for (const auto& [address, backend] : before.FindPool(loss.pool)->backends) {
        if (IsEligible(backend.get(), live_pool->second)) loss.eligible.push_back(address);
      }
      if (next_pool != nullptr) {
        for (const auto& [address, backend] : next_pool->backends) {
          if (IsEnabled(backend.get())) loss.enabled.push_back(address);
        }
      }
    }
    losses.push_back(std::move(loss));
  }
  return losses;
}

std::vector<PoolImpact> ToImpacts(const std::vector<PoolLoss>& losses) {
  std::vector<PoolImpact> impacts;
  for (const PoolLoss& loss : losses) {
    if (loss.lost.empty()) continue;
    impacts.push_back(
        {.pool = loss.pool,
         .eligible_before = static_cast<uint32_t>(loss.eligible.size()),
         .eligible_after = static_cast<uint32_t>(loss.eligible.size() - loss.lost.size()),
         .added = static_cast<uint32_t>(loss.added.size()),
         .connections = loss.connections});
  }
  return impacts;
}

absl::Status Guard::CheckPool(const PoolLoss& loss, const Window& window, absl::Time now) {
  const auto is_in = [now](const Times& times, const Address& address) {
    const auto found = times.find(address);
    return found != times.end() && IsRecent(found->second, now);
  };
  const absl::flat_hash_set<Address> lost(loss.lost.begin(), loss.lost.end());
  const absl::flat_hash_set<Address> guarded(loss.guarded.begin(), loss.guarded.end());
  const absl::flat_hash_set<Address> eligible(loss.eligible.begin(), loss.eligible.end());
  const absl::flat_hash_set<Address> added(loss.added.begin(), loss.added.end());
  size_t old_before = 0, new_before = 0, after = 0;
  for (const Address& address : loss.eligible) {
    // What an operator takes out was there for nobody.
    if (lost.contains(address) && !guarded.contains(address)) continue;
    ++(is_in(window.added, address) ? new_before : old_before);
    if (!lost.contains(address)) ++after;
  }
  for (const Address& address : loss.enabled) {
    if (eligible.contains(address)) continue;
    if (added.contains(address) || is_in(window.added, address)) ++after;
  }
  size_t all_lost = loss.guarded.size();
  const auto add_lost = [&](const Times& times, size_t* before) {
    for (const auto& [address, time] : times) {
      if (!IsRecent(time, now) || eligible.contains(address)) continue;
      ++*before;
      ++all_lost;
    }
  };
  add_lost(window.lost_old, &old_before);
  add_lost(window.lost_new, &new_before);
  // Of a set that is replaced one by one, more are lost than there ever were.
  size_t most = loss.eligible.size();
  for (const auto& [time, count] : window.peaks) {
    if (IsRecent(time, now)) most = std::max(most, count);
  }
  const size_t before = std::min(most, std::max(old_before, new_before));
  if (all_lost < kMinLost || 2 * after >= before) return absl::OkStatus();
  const std::string window_words =
      all_lost > loss.guarded.size() ? fmt::format(", {} within 60s,", all_lost) : "";
  const std::string why = fmt::format(
      "pool '{}': would take {} of {} serving backends away{} and leave {} of {}; at least half "
      "must stay or be replaced unless allow_mass_removal is set",
      loss.pool, loss.guarded.size(), loss.eligible.size(), window_words, after, before);
  return MakeError(absl::StatusCode::kFailedPrecondition, why,
                   {.reason = "MASS_REMOVAL",
                    .metadata = {{"pool", loss.pool},
                                 {"would_remove", std::to_string(loss.guarded.size())},
                                 {"serving", std::to_string(loss.eligible.size())}},
                    .violations = {{"allow_mass_removal", why}}});
}

absl::Status Guard::Check(const std::string& owner, const std::vector<PoolLoss>& losses,
                          absl::Time now) const {
  static const Window kEmpty;
  for (const PoolLoss& loss : losses) {
    if (loss.guarded.empty()) continue;
    const auto window = windows_.find({owner, loss.pool});
    absl::Status status = CheckPool(loss, window == windows_.end() ? kEmpty : window->second, now);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void Guard::Note(const std::string& owner, const std::vector<PoolLoss>& losses, Consent consent,
                 absl::Time now) {
  for (const PoolLoss& loss : losses) {
    const std::pair<std::string, std::string> key(owner, loss.pool);
    if (consent == Consent::kGiven && !loss.guarded.empty()) {
      windows_.erase(key);
      continue;
    }
    if (loss.guarded.empty() && loss.added.empty()) continue;
    Window& window = windows_[key];
    auto& peaks = window.peaks;
    while (!peaks.empty() && !IsRecent(peaks.front().first, now)) peaks.pop_front();
    while (!peaks.empty() && peaks.back().second <= loss.eligible.size()) peaks.pop_back();
    if (!loss.lost.empty()) peaks.emplace_back(now, loss.eligible.size());
    for (const Address& address : loss.guarded) {
      const auto added = window.added.find(address);
      const bool is_new = added != window.added.end() && IsRecent(added->second, now);
      if (added != window.added.end()) window.added.erase(added);
      (is_new ? window.lost_new : window.lost_old)[address] = now;
    }
    for (const Address& address : loss.added) {
      // One that comes back belongs where it belonged.
      const auto old = window.lost_old.find(address);
      const bool was_there = old != window.lost_old.end() && IsRecent(old->second, now);
      if (old != window.lost_old.end()) window.lost_old.erase(old);
      window.lost_new.erase(address);
      if (!was_there) window.added[address] = now;
    }
  }
  // Now and then, so that what is over takes no memory.
  if (now - pruned_ < kWindow / 4) return;
  pruned_ = now;
  const auto is_over = [now](const auto& entry) { return !IsRecent(entry.second, now); };
  for (auto it = windows_.begin(); it != windows_.end();) {
    Window& window = it->second;
    for (Times* times : {&window.added, &window.lost_old, &window.lost_new}) {
      absl::erase_if(*times, is_over);
    }
    const bool is_empty =
        window.added.empty() && window.lost_old.empty() && window.lost_new.empty();
    it = is_empty ? windows_.erase(it) : std::next(it);
  }
}

}  // namespace sidelb::control
