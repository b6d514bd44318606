#include "dataplane/base/status.h"

#include <cerrno>
#include <cstring>
#include <system_error>

#include "fmt/format.h"

namespace sidelb {

std::string ErrnoName(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? std::string(name) : fmt::format("errno {}", error);
}

absl::Status ErrnoToStatus(int error, std::string_view what) {
  const std::string message =
      fmt::format("{}: {} ({})", what, std::generic_category().message(error), ErrnoName(error));
  switch (error) {
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case EACCES:
      return absl::FailedPreconditionError(message);
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace sidelb
