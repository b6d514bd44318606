#include "client/cli/exit_code.h"

#include "client/error_details.h"

namespace sidelb::client {

absl::Status UsageError(std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, kReasonUsage, message);
}

ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument: {
      const std::string reason = GetErrorDetails(status).reason;
      const bool is_ours = reason == kReasonUsage || reason == "BAD_ENDPOINT";
      return is_ours ? ExitCode::kUsage : ExitCode::kRejected;
    }
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return ExitCode::kConflict;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return ExitCode::kUnreachable;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return ExitCode::kNotPermitted;
    default:
      return ExitCode::kRejected;
  }
}

}  // namespace sidelb::client
