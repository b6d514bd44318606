// Compiles a command into the ops of one ApplyRequest. Nothing here talks to the daemon: where a
// command changes a part of what exists, the caller passes in what it has read.
//
// Thread safety: pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/arguments.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

struct WritePlan {
  pb::ApplyRequest request;
  std::vector<std::string> warnings;
  // What to advise when the daemon refuses with this reason.
  std::map<std::string, std::string> hints;
  // The request carries revisions that were read: on a mismatch read and plan again.
  bool is_based_on_read = false;
};

// The request without ops: owner, comment, expected revision, wait, dry run, as the options say.
pb::ApplyRequest BaseRequest(const Arguments& arguments);
std::string OwnerOf(const Arguments& arguments);

// For --wait drained without --wait-timeout: how long sessions may take that a drain like this
// leaves. `timeout` is the drain's deadline, nullopt = none.
absl::Duration DrainedWait(std::optional<absl::Duration> timeout,
                           std::optional<pb::DrainAction> on_timeout);
// Sets `request`'s wait_timeout to `wait` if it waits for DRAINED and no option gave one.
void SetDefaultWait(absl::Duration wait, pb::ApplyRequest* request);
// Of removals without a drain of their own, where the pool names none either.
inline constexpr absl::Duration kRemovalDrain = absl::Seconds(30);

// Ops on single backends stand one by one up to this many, so that the result of each is known.
inline constexpr size_t kMaxSingleOps = 512;

WritePlan PlanAddBackends(const Arguments& arguments, const AddBackendsCommand& command,
                          bool creates_pool);
WritePlan PlanAddPool(const Arguments& arguments, const AddPoolCommand& command);
WritePlan PlanAddListener(const Arguments& arguments, const AddListenerCommand& command);

// `current` holds the backends concerned at `revision`. NOT_FOUND (BACKEND_NOT_FOUND) for a backend
// that has no claim, FAILED_PRECONDITION (NOT_OWNER) when more than the weight of a backend shall
// change that only other owners claim; its weight becomes an override.
absl::StatusOr<WritePlan> PlanSetBackends(const Arguments& arguments,
                                          const SetBackendsCommand& command,
                                          const pb::State& current, uint64_t revision);
// `current` holds the object. NOT_FOUND (POOL_NOT_FOUND, LISTENER_NOT_FOUND) when it does not.
absl::StatusOr<WritePlan> PlanSetPool(const Arguments& arguments, const SetPoolCommand& command,
                                      const pb::State& current);
absl::StatusOr<WritePlan> PlanSetListener(const Arguments& arguments,
                                          const SetListenerCommand& command,
                                          const pb::State& current);

// `pool` is the pool as it was read, nullopt if it was not; only the default wait depends on it.
WritePlan PlanRemoveBackends(const Arguments& arguments, const RemoveBackendsCommand& command,
                             const std::optional<pb::Pool>& pool);
WritePlan PlanRemovePools(const Arguments& arguments, const RemovePoolsCommand& command);
WritePlan PlanRemoveListeners(const Arguments& arguments, const RemoveListenersCommand& command);
WritePlan PlanReplace(const Arguments& arguments, const std::string& pool_name,
                      std::vector<pb::BackendSpec> backends, const std::optional<pb::Pool>& pool);
WritePlan PlanSetMode(const Arguments& arguments, const SetModeCommand& command);
WritePlan PlanOverride(const Arguments& arguments, const OverrideCommand& command);

pb::Selector ToSelector(const SelectorArguments& selector);

}  // namespace sidelb::client
