#include "dataplane/base/close_reason.h"

namespace sidelb {

std::string_view CloseReasonName(CloseReason reason) {
  static constexpr std::string_view kNames[kCloseReasonCount] = {
      "unspecified",        "finished",         "downstream_reset", "upstream_reset",
      "downstream_timeout", "upstream_timeout", "idle_timeout",     "half_close_timeout",
      "no_backend",         "no_capacity",      "connect_failed",   "connect_timeout",
      "listener_limit",     "drain_deadline",   "backend_disabled", "backend_unhealthy",
      "shutdown",           "local_error",      "client_limit",     "evicted",
      "proxy_protocol",
  };
  const auto index = static_cast<size_t>(reason);
  return index < kCloseReasonCount ? kNames[index] : kNames[0];
}

}  // namespace sidelb
