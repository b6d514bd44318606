#include "server/providers/ring_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace sidelb::providers {
namespace {

using control::BackendSpec;
using control::PoolReading;

bool IsWildcard(const Address& address) {
  const std::string host = address.Host();
  return host == "0.0.0.0" || host == "::";
}

bool MayServe(const BackendSpec& spec) {
  return control::EffectiveWeight(spec) > 0 &&
         control::EffectiveAdminState(spec) == AdminState::kEnabled;
}

}  // namespace

std::vector<BackendSpec> BackendsOf(const control::RingDomainSpec& spec,
                                    const std::vector<DnsTarget>& targets) {
  const bool is_srv = control::EffectiveRecordType(spec) == control::RecordType::kSrv;
  std::set<uint16_t> priorities;
  for (const DnsTarget& target : targets) priorities.insert(target.priority);
  std::map<Address, BackendSpec> backends;
  for (const DnsTarget& target : targets) {
    if (IsWildcard(target.address)) continue;
    BackendSpec backend = spec.defaults.value_or(BackendSpec{});
    backend.address =
        is_srv ? target.address : target.address.WithPort(static_cast<uint16_t>(spec.port));
    if (is_srv) {
      backend.weight = std::max<uint32_t>(target.weight, 1);
      const auto rank = std::distance(priorities.begin(), priorities.find(target.priority));
      backend.priority =
          std::min(backend.priority + static_cast<uint32_t>(rank), control::kMaxPriority);
    }
    // Of two records for one address the first one counts.
    backends.try_emplace(backend.address, std::move(backend));
  }
  std::vector<BackendSpec> sorted;
  for (auto& [address, backend] : backends) sorted.push_back(std::move(backend));
  return sorted;
}

absl::Duration RefreshDelay(const control::RingDomainSpec& spec,
                            const std::vector<DnsTarget>& targets, double chance) {
  absl::Duration ttl = absl::InfiniteDuration();
  for (const DnsTarget& target : targets) ttl = std::min(ttl, target.ttl);
  ttl = std::clamp(ttl, control::EffectiveMinTtl(spec), control::EffectiveMaxTtl(spec));
  return ttl + ttl * 0.1 * chance;
}

absl::Duration RetryDelay(absl::Duration first, absl::Duration longest, uint32_t attempt,
                          double chance) {
  absl::Duration delay = first;
  for (uint32_t i = 1; i < attempt && delay < longest; ++i) delay *= 2;
  delay = std::min(delay, longest);
  return delay + delay * 0.1 * chance;
}

ClaimPlan PlanClaims(const PoolReading& pool, const WantedClaims& wanted) {
  std::map<Address, BackendSpec> claims;
  for (const BackendSpec& backend : wanted.backends) claims[backend.address] = backend;
  std::vector<BackendSpec> leaving;
  std::set<Address> known;  // of the pool
  size_t serving_after = 0;
  bool has_new = false, takes_serving = false;
  ClaimPlan plan;
  for (const PoolReading::Entry& entry : pool.entries) {
    known.insert(entry.address);
    const auto wants = claims.find(entry.address);
    const bool is_wanted = wants != claims.end();
    if (is_wanted && (!entry.mine.has_value() || !(*entry.mine == wants->second))) {
      plan.is_change = true;
    }
    bool leaves = false;
    if (entry.mine.has_value() && !is_wanted) {
      const bool is_known = entry.address.is_v6() ? wanted.has_all_v6 : wanted.has_all_v4;
      if (is_known) {
        leaving.push_back(*entry.mine);
        leaves = !entry.has_others;
      } else {
        claims[entry.address] = *entry.mine;
      }
    }
    if (is_wanted && entry.is_warming) has_new = true;
    if (entry.serves && !leaves) ++serving_after;
    if (entry.serves && leaves) takes_serving = true;
  }
  for (const BackendSpec& backend : wanted.backends) {
    if (known.contains(backend.address)) continue;
    plan.is_change = true;
    if (pool.is_probed) {
      has_new = true;
    } else if (MayServe(backend)) {
      ++serving_after;
    }
  }
  if (!leaving.empty()) {
    if (claims.empty()) {
      if (serving_after == 0) plan.hold = Hold::kGuard;
    } else if (takes_serving && has_new) {
      plan.hold = Hold::kProbes;
    } else if (takes_serving && serving_after == 0) {
      plan.hold = Hold::kGuard;
    }
    if (plan.hold == Hold::kNone) {
      plan.is_change = true;
    } else {
      plan.held = leaving.size();
      for (BackendSpec& backend : leaving) claims[backend.address] = std::move(backend);
    }
  }
  for (auto& [address, backend] : claims) plan.claims.push_back(std::move(backend));
  return plan;
}

}  // namespace sidelb::providers
