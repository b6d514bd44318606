#include "server/rpc/shutdown_switch.h"

#include <sys/eventfd.h>

namespace sidelb::rpc {

ShutdownSwitch::ShutdownSwitch(absl::Duration delay, absl::Duration drain_timeout)
    : delay_(delay),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      drain_timeout_(drain_timeout) {}

absl::Time ShutdownSwitch::TurnOn(std::optional<absl::Duration> drain_timeout, absl::Time now) {
  const std::lock_guard lock(mutex_);
  if (!deadline_) {
    drain_timeout_ = drain_timeout.value_or(drain_timeout_);
    deadline_ = now + delay_ + drain_timeout_;
    eventfd_write(event_.get(), 1);
  }
  return *deadline_;
}

bool ShutdownSwitch::is_on() const {
  const std::lock_guard lock(mutex_);
  return deadline_.has_value();
}

absl::Duration ShutdownSwitch::drain_timeout() const {
  const std::lock_guard lock(mutex_);
  return drain_timeout_;
}

}  // namespace sidelb::rpc
