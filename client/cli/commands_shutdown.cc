// shutdown.
#include "absl/time/time.h"
#include "client/cli/commands.h"
#include "client/cli/report.h"
#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {

ExitCode RunCommand(const Invocation& invocation, const ShutdownCommand& command) {
  pb::ShutdownRequest request;
  request.set_mode(pb::SHUTDOWN_MODE_DRAIN);
  if (command.drain_timeout) {
    *request.mutable_drain_timeout() = ToProto(*command.drain_timeout);
  }
  request.set_comment(invocation.arguments.write.comment.value_or(""));
  const auto response = invocation.calls.shutdown(request);
  if (!response.ok()) {
    return PrintError(response.status(), invocation.arguments.global.output, invocation.streams);
  }
  if (invocation.is_json()) {
    PrintMessage(invocation, *response);
  } else {
    const absl::Time end = absl::FromUnixSeconds(response->deadline().seconds());
    invocation.streams.out << fmt::format(
        "daemon draining ({} sessions, until {})\n", response->active_connections(),
        absl::FormatTime("%Y-%m-%d %H:%M:%SZ", end, absl::UTCTimeZone()));
  }
  return ExitCode::kOk;
}

}  // namespace sidelb::client
