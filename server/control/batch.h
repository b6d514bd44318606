// Batch: applies the ops of one Apply, in order, to a copy of the desired state: all of them or
// none. Pure: it binds nothing and publishes nothing; what has to happen it lists.
//
// Thread safety: the control thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/control/desired_state.h"

namespace sidelb::control {

// What a batch came to.
struct Change {
  DesiredState next;
  std::vector<OpResult> results;  // one for each op
  std::vector<std::string> warnings;
  bool has_changed = false;  // else `next` is the state as it was, revision included

  // What differs from before.
  std::map<std::string, size_t> listeners;            // with the index of the op that named it last
  std::map<std::string, std::string> listener_paths;  // of those that an import put
  std::set<std::string> pools;                        // configuration or backends
  std::set<BackendKey> backends;
  // Of backends that lost their last claim.
  std::map<BackendKey, DrainSpec> removals;
  // What a wait for DRAINED is for: all that the batch wants removed, drained or disabled, whether
  // it was so before or not. A removed one may be gone already.
  std::set<BackendKey> leaving;
  // Short words of what was done, for the log: "web: +2 -1 backends".
  std::vector<std::string> summary;
  // For the answer; whoever knows what is observed fills it in (guard.h).
  std::vector<PoolImpact> impacts;
};

// How long the override of a backend that left is kept for its return.
inline constexpr absl::Duration kKeepAbsentOverrides = absl::Minutes(10);

// Errors: as control-api.md lists for Apply; nothing has changed then.
absl::StatusOr<Change> ApplyBatch(const DesiredState& state, const ApplyRequest& request,
                                  absl::Time now);

// The path of the address of a listener that `change` put.
std::string ListenerAddressPath(const Change& change, const std::string& name);

// What a lease does to the claims of its owner.
enum class LeaseEffect : uint8_t { kDrain, kRemove, kKeep, kTakeBack };
Change ApplyLease(const DesiredState& state, const std::string& owner, LeaseEffect effect,
                  absl::Time now);

// Takes back the overrides whose time is over.
Change ExpireOverrides(const DesiredState& state, absl::Time now);
// When the next one's is; InfiniteFuture() when none expires. Reads all backends.
absl::Time NextExpiry(const DesiredState& state);

}  // namespace sidelb::control
