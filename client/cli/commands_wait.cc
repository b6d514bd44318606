// wait.
#include <algorithm>
#include <map>

#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/follow.h"
#include "client/cli/object_tables.h"
#include "client/cli/report.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

// Between two looks at the applied revision. Shards take a change over within milliseconds.
constexpr absl::Duration kAppliedInterval = absl::Milliseconds(20);
// Backends that an error names one by one.
constexpr size_t kMaxNamed = 5;

ExitCode NotReached(const Invocation& invocation, absl::Duration timeout, std::string_view what) {
  PrintError(MakeError(absl::StatusCode::kDeadlineExceeded, "WAIT_NOT_REACHED",
                       fmt::format("within {}: {}", absl::FormatDuration(timeout), what)),
             invocation.arguments.global.output, invocation.streams);
  return ExitCode::kWaitNotReached;
}

// The backends of the wait as they are, and what keeps it from its end.
struct Progress {
  pb::State reached;
  std::vector<std::string> missing;  // "10.0.0.5:80 is unhealthy (refused)"
};

bool IsHealthy(const pb::BackendStatus& status) {
  return status.state() == pb::BACKEND_STATE_SERVING && status.health() == pb::HEALTH_HEALTHY;
}

std::string WhyNot(const pb::Backend& backend) {
  const pb::BackendStatus& status = backend.status();
  const bool is_serving = status.state() == pb::BACKEND_STATE_SERVING;
  std::string why = fmt::format("{} is {}", backend.address(), StateCell(status).text);
  if (is_serving) why += fmt::format(", health {}", HealthCell(status).text);
  const std::string reason = ReasonWord(status);
  if (!reason.empty()) why += fmt::format(" ({})", reason);
  return why;
}

bool IsLeaving(const pb::BackendStatus& status) {
  return status.state() == pb::BACKEND_STATE_DRAINING ||
         status.state() == pb::BACKEND_STATE_DISABLED ||
         status.state() == pb::BACKEND_STATE_REMOVING;
}

// One that is named and not there any more has no session.
Progress DrainProgressOf(const WaitCommand& command, const WatchView& view) {
  Progress progress;
  const bool is_named = !command.addresses.empty();
  for (const auto& [key, backend] : view.backends()) {
    const pb::BackendStatus& status = backend.status();
    if (!IsLeaving(status)) {
      if (is_named) {
        progress.missing.push_back(fmt::format("{} is {}, and neither draining nor disabled",
                                               backend.address(), StateCell(status).text));
      }
    } else if (status.active_connections() > 0) {
      progress.missing.push_back(
          fmt::format("{} has {} sessions left", backend.address(), status.active_connections()));
    } else {
      *progress.reached.add_backends() = backend;
    }
  }
  return progress;
}

Progress ProgressOf(const WaitCommand& command, const WatchView& view) {
  if (command.target == WaitCommand::Target::kDrained) return DrainProgressOf(command, view);
  Progress progress;
  const auto add = [&progress](const pb::Backend& backend) {
    if (IsHealthy(backend.status())) {
      *progress.reached.add_backends() = backend;
    } else {
      progress.missing.push_back(WhyNot(backend));
    }
  };
  for (const std::string& address : command.addresses) {
    const auto found = view.backends().find({command.pool, address});
    if (found != view.backends().end()) {
      add(found->second);
    } else {
      progress.missing.push_back(fmt::format("{} is not in pool \"{}\"", address, command.pool));
    }
  }
  if (!command.addresses.empty()) return progress;
  for (const auto& [key, backend] : view.backends()) {
    if (backend.status().state() != pb::BACKEND_STATE_REMOVING) add(backend);
  }
  if (progress.reached.backends().empty() && progress.missing.empty()) {
    progress.missing.push_back(fmt::format("pool \"{}\" has no backend", command.pool));
  }
  return progress;
}

std::string MissingText(const std::vector<std::string>& missing) {
  const size_t named = std::min(missing.size(), kMaxNamed);
  std::string text = fmt::format("{}", fmt::join(missing.begin(), missing.begin() + named, "; "));
  if (missing.size() > named) text += fmt::format("; and {} more", missing.size() - named);
  return text;
}

ExitCode ReportReached(const Invocation& invocation, const Progress& progress,
                       std::string_view word) {
  if (invocation.is_json()) {
    PrintMessage(invocation, progress.reached);
    return ExitCode::kOk;
  }
  for (const pb::Backend& backend : progress.reached.backends()) {
    invocation.streams.out << Printable(fmt::format("backend/{}/{} {}", backend.pool(),
                                                    backend.address(), word))
                           << '\n';
  }
  return ExitCode::kOk;
}

ExitCode WaitForBackends(const Invocation& invocation, const WaitCommand& command) {
  const absl::Time deadline = absl::Now() + command.timeout;
  // The first look may take as long as any other call, so that a short wait is a question.
  const absl::Time first_deadline =
      std::max(deadline, absl::Now() + invocation.arguments.global.timeout);
  pb::WatchRequest request =
      FollowRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND}, {command.pool}, pb::VIEW_FULL);
  for (const std::string& address : command.addresses) {
    request.mutable_filter()->mutable_backends()->add_addresses(address);
  }
  Follower follower(std::move(request), FollowOptions(invocation));
  const Interrupt::Listener listener(invocation.streams.interrupt,
                                     [&follower] { follower.Cancel(); });
  ConnectionNotices notices(invocation.streams);
  std::vector<std::string> missing = {"the daemon has not answered"};
  while (true) {
    const Follower::Step step =
        follower.Next(follower.view().is_complete() ? deadline : first_deadline);
    notices.Tell(step);
    if (step.kind == Follower::Step::Kind::kTimeout) {
      return NotReached(invocation, command.timeout, MissingText(missing));
    }
    if (const auto end = EndOf(invocation, step)) return *end;
    if (step.kind != Follower::Step::Kind::kMessage || !follower.view().is_complete()) continue;
    if (follower.view().pools().empty()) {
      return PrintError(MakeError(absl::StatusCode::kNotFound, "POOL_NOT_FOUND",
                                  fmt::format("there is no pool \"{}\"", command.pool)),
                        invocation.arguments.global.output, invocation.streams);
    }
    Progress progress = ProgressOf(command, follower.view());
    if (progress.missing.empty()) {
      const bool is_drain = command.target == WaitCommand::Target::kDrained;
      return ReportReached(invocation, progress, is_drain ? "drained" : "healthy");
    }
    missing = std::move(progress.missing);
  }
}

// No event tells of the applied revision. Reads wait for the revision itself; the shards follow it
// within milliseconds, for which asking again is good enough.
ExitCode WaitForApplied(const Invocation& invocation, const WaitCommand& command) {
  const Output output = invocation.arguments.global.output;
  const absl::Time deadline = absl::Now() + command.timeout;
  auto info = invocation.calls.get_info();
  if (!info.ok()) return PrintError(info.status(), output, invocation.streams);
  const uint64_t wanted = command.revision.value_or(info->revision());
  if (info->revision() < wanted) {
    const absl::Status status = invocation.calls.wait_for_revision(wanted, deadline - absl::Now());
    if (absl::IsDeadlineExceeded(status)) {
      return NotReached(
          invocation, command.timeout,
          fmt::format("the daemon is at revision {}, not at {}", info->revision(), wanted));
    }
    if (!status.ok()) return PrintError(status, output, invocation.streams);
    info = invocation.calls.get_info();
    if (!info.ok()) return PrintError(info.status(), output, invocation.streams);
  }
  while (info->applied_revision() < wanted) {
    if (absl::Now() >= deadline) {
      return NotReached(
          invocation, command.timeout,
          fmt::format("revision {} is applied, not {}", info->applied_revision(), wanted));
    }
    absl::SleepFor(std::min(kAppliedInterval, deadline - absl::Now()));
    info = invocation.calls.get_info();
    if (!info.ok()) return PrintError(info.status(), output, invocation.streams);
  }
  if (invocation.is_json()) {
    PrintMessage(invocation, *info);
  } else {
    invocation.streams.out << fmt::format("revision {} applied\n", info->applied_revision());
  }
  return ExitCode::kOk;
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const WaitCommand& command) {
  return command.target == WaitCommand::Target::kApplied ? WaitForApplied(invocation, command)
                                                         : WaitForBackends(invocation, command);
}

}  // namespace sidelb::client
