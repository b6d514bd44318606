// Statuses from errno values: the one place where a number becomes a code and a text.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace sidelb {

// "EADDRINUSE", or "errno 123" where the system has no name for it.
std::string ErrnoName(int error);

// `what` + ": " + the system's text + " (" + ErrnoName + ")". EADDRINUSE, EADDRNOTAVAIL and EACCES
// are FAILED_PRECONDITION; EMFILE, ENFILE, ENOBUFS and ENOMEM are RESOURCE_EXHAUSTED; the rest is
// UNAVAILABLE.
absl::Status ErrnoToStatus(int error, std::string_view what);

}  // namespace sidelb
