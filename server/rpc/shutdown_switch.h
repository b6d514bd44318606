// ShutdownSwitch: the one place that knows whether the daemon is to end, and when. The call
// Shutdown and SIGTERM turn it on; main waits for it. It cannot be turned off: what follows closes
// listeners.
//
// Thread safety: any thread.
#pragma once

#include <mutex>
#include <optional>

#include "absl/time/time.h"
#include "dataplane/base/unique_fd.h"

namespace sidelb::rpc {

class ShutdownSwitch {
 public:
  // `delay` passes before connections drain, which then have `drain_timeout` unless it is asked for
  // otherwise.
  ShutdownSwitch(absl::Duration delay, absl::Duration drain_timeout);

  // Returns when the last connections are reset. The first call counts, later ones only ask.
  absl::Time TurnOn(std::optional<absl::Duration> drain_timeout, absl::Time now);

  bool is_on() const;
  absl::Duration drain_timeout() const;

  // Readable once it is on; -1 when the system had no descriptor.
  int descriptor() const { return event_.get(); }

 private:
  const absl::Duration delay_;
  const UniqueFd event_;
  mutable std::mutex mutex_;
  absl::Duration drain_timeout_;        // guarded by mutex_
  std::optional<absl::Time> deadline_;  // guarded by mutex_; set = it is on
};

}  // namespace sidelb::rpc
