// The rules by which what DNS says of a domain becomes the claims of its owner (decision 0008).
//
// Pure: time and chance are arguments.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "server/control/model.h"
#include "server/control/pool_reading.h"
#include "server/providers/dns_result.h"

namespace sidelb::providers {

// The backends that records stand for, by address, each once. SRV weights count as they are, 0 as
// the least; of SRV priorities the order counts, because there are but kMaxPriority of ours.
// Addresses that nobody can connect to are left out.
std::vector<control::BackendSpec> BackendsOf(const control::RingDomainSpec& spec,
                                             const std::vector<DnsTarget>& targets);

// When to ask again after an answer: its shortest TTL within the bounds of `spec`, and up to a
// tenth later, so that many domains do not ask at once. `chance` is in [0, 1).
absl::Duration RefreshDelay(const control::RingDomainSpec& spec,
                            const std::vector<DnsTarget>& targets, double chance);
// When to ask again after the `attempt`th (from 1) lookup in a row without an answer: doubles from
// `first` to `longest`, and up to a tenth later.
absl::Duration RetryDelay(absl::Duration first, absl::Duration longest, uint32_t attempt,
                          double chance);

// What is wanted of a pool.
struct WantedClaims {
  std::vector<control::BackendSpec> backends;  // by address
  // Whether they are all of that family: what is not known stays.
  bool has_all_v4 = true;
  bool has_all_v6 = true;
};

enum class Hold : uint8_t {
  kNone,
  kProbes,  // until those that are new have had their first probe
  kGuard,   // until another backend of the pool serves
};

struct ClaimPlan {
  std::vector<control::BackendSpec> claims;  // what the owner's claims become, by address
  bool is_change = false;                    // they are others than now
  Hold hold = Hold::kNone;
  size_t held = 0;  // removals that are not made yet
};

// What may be done now. Additions always; removals
// - of a set that becomes empty only if another backend of the pool serves then,
// - else when all new ones have had their first probe, and not if no backend would serve while one
//   does now.
ClaimPlan PlanClaims(const control::PoolReading& pool, const WantedClaims& wanted);

}  // namespace sidelb::providers
