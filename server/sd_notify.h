// Tells systemd how the service is doing; the protocol of sd_notify(3).
//
// Thread safety: any thread.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace sidelb::server {

// Sends `state` ("READY=1", lines) as one datagram to `socket`, the value of NOTIFY_SOCKET: a path,
// or "@name" for an abstract socket. An empty `socket` is OK: nobody asked. Never blocks.
absl::Status NotifySystemd(std::string_view socket, std::string_view state);

}  // namespace sidelb::server
