// Compiles a state file into the ops of one Apply: what `apply -f` does with what `export` wrote.
//
// A file whose claims name their owners is imported as a whole, by one op. Any other one is written
// as one owner's; then the order of the ops is:
// listeners that go, pools, backends, overrides, listeners, pools that go; so that a listener's
// address is free before another takes it and a pool exists before it is used.
//
// Thread safety: pure functions.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/compile.h"

namespace sidelb::client {

// What exists at the daemon.
struct CurrentState {
  pb::State state;
  uint64_t revision = 0;
};

// Whether `file` is to be imported: claims in it name their owners, and the command line names none
// as whose they should be written.
bool IsImported(const Arguments& arguments, const ApplyFileCommand& command, const pb::State& file);
// Claims of all owners and overrides become those of the file; with --prune nothing else remains.
WritePlan PlanImport(const Arguments& arguments, const ApplyFileCommand& command, pb::State file);

// Otherwise, as one owner's. Whether PlanApplyState() must know what exists: to prune, or because
// the file holds overrides of backends that only other owners claim, which may not exist here.
bool NeedsCurrentState(const Arguments& arguments, const ApplyFileCommand& command,
                       const pb::State& file);

// `file` is for errors, which are UsageError() and name the object at fault: a backend without pool
// or address, an object that stands twice.
//
// Claims of other owners than the caller's are left out with a warning that counts them, or become
// the caller's with --adopt; of several claims of one backend the first is taken then. A backend
// that has no claim in the file is claimed by the caller.
// With --prune the caller's backends of every pool become exactly those
// of the file, and listeners and pools that it does not name are removed. A pool in which other
// owners claim backends is kept, with a warning.
// REQUIRES: `current` is given where NeedsCurrentState().
absl::StatusOr<WritePlan> PlanApplyState(const Arguments& arguments,
                                         const ApplyFileCommand& command, const pb::State& file,
                                         const std::optional<CurrentState>& current);

// The request of a file with ops: options of the command line stand over its fields.
absl::StatusOr<WritePlan> PlanApplyRequest(const Arguments& arguments,
                                           const ApplyFileCommand& command,
                                           pb::ApplyRequest request);

// `state` as export prints it: without what is output only, and without backends that only drain
// their last sessions; the backends of a pool in the order in which they stand there.
pb::State WithoutOutput(pb::State state);

}  // namespace sidelb::client
