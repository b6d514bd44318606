// Holds a lease while a child process runs.
//
// Thread safety: the main thread, before the first call to the daemon: threads that are made after
// it must inherit the signals that it blocks. One at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sidelb::client {

struct HeldLease {
  std::vector<std::string> words;      // of the child
  std::vector<std::string> variables;  // "NAME=value", beside the own ones
  // Renews, and returns when to renew again. ABORTED: the lease is another's. Called once before
  // the child is started.
  std::function<absl::StatusOr<absl::Duration>()> renew;
  // A renewal that failed and is tried again.
  std::function<void(const absl::Status&)> on_failure;
  // How long to wait then.
  absl::Duration retry = absl::Seconds(1);
};

struct HoldEnd {
  int exit_code = 0;    // of the child; 128 + the signal that ended it; 127: it did not start
  absl::Status status;  // why the lease was not held to the end
};

// Returns when the child has ended, or did not start because the first renewal failed.
HoldEnd HoldLease(const HeldLease& held);

}  // namespace sidelb::client
