// The exit codes of sidelb-cli, and which error gives which.
//
// Thread safety: pure functions.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace sidelb::client {

enum class ExitCode : int {
  kOk = 0,
  kRejected = 1,   // the daemon refused, or the output could not be written
  kUsage = 2,      // the command line or a file is wrong; nothing was asked of the daemon
  kUnchanged = 3,  // with --error-unchanged: everything was so already
  kConflict = 4,   // wrong state or revision, or still claimed by another owner
  kNotFound = 5,
  kUnreachable = 6,  // no daemon, no answer in time, or its store is down
  kNotPermitted = 7,
  kWaitNotReached = 8,  // what `wait` names, or --wait after the change, was not reached in time
  kDiffers = 10,        // `diff` found differences
  kInterrupted = 130,
};

// The reason of errors that are the command line's or a file's, which exit with kUsage.
inline constexpr std::string_view kReasonUsage = "USAGE";

absl::Status UsageError(std::string_view message);

ExitCode ExitCodeFor(const absl::Status& status);

}  // namespace sidelb::client
