// lease.
#include <unistd.h>

#include <algorithm>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/hold_lease.h"
#include "client/cli/json_output.h"
#include "client/cli/object_tables.h"
#include "client/cli/report.h"
#include "client/cli/values.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr absl::Duration kDefaultTtl = absl::Seconds(30);

pb::RenewLeaseRequest RequestFor(const LeaseCommand& command) {
  pb::RenewLeaseRequest request;
  request.set_owner(command.owner);
  request.set_holder(command.holder);
  if (command.ttl) *request.mutable_ttl() = ToProto(*command.ttl);
  if (command.grace) *request.mutable_grace() = ToProto(*command.grace);
  request.set_on_expiry(command.on_expiry);
  request.set_take_over(command.takes_over);
  return request;
}

std::string ActionWord(pb::ExpiryAction action) {
  return Word(pb::ExpiryAction_Name(action), "EXPIRY_ACTION_");
}

ExitCode Fail(const Invocation& invocation, const absl::Status& status) {
  const ExitCode exit_code =
      PrintError(status, invocation.arguments.global.output, invocation.streams);
  if (GetErrorDetails(status).reason == "SESSION_SUPERSEDED" && !invocation.is_json()) {
    PrintHint(invocation.streams, "--take-over makes this holder the one, and fences the other");
  }
  return exit_code;
}

// A line for each lease, or one object whose member `leases` has them.
void PrintJson(const Invocation& invocation,
               const google::protobuf::RepeatedPtrField<pb::Lease>& leases) {
  std::ostream& out = invocation.streams.out;
  if (invocation.arguments.global.output == Output::kJsonLines) {
    for (const pb::Lease& lease : leases) PrintMessage(invocation, lease);
    return;
  }
  out << "{\n \"leases\": [";
  std::string_view separator = "\n";
  for (const pb::Lease& lease : leases) {
    std::string json = ToJson(lease, JsonLayout::kIndented, JsonFields::kAll);
    absl::StripTrailingAsciiWhitespace(&json);
    out << separator << "  " << absl::StrReplaceAll(json, {{"\n", "\n  "}});
    separator = ",\n";
  }
  out << (leases.empty() ? "]\n}\n" : "\n ]\n}\n");
}

ExitCode List(const Invocation& invocation) {
  const auto info = invocation.calls.get_info();
  if (!info.ok()) return Fail(invocation, info.status());
  if (invocation.is_json()) {
    PrintJson(invocation, info->leases());
    return ExitCode::kOk;
  }
  const absl::Time now = absl::Now();
  Table table({"OWNER", "HOLDER", "STATE", "LEFT", "TTL", "GRACE", "ON-EXPIRY", "CLAIMS"});
  for (const pb::Lease& lease : info->leases()) {
    const absl::Duration left = FromProto(lease.expire_time()) - now;
    table.AddRow(
        {{lease.owner()},
         {lease.holder()},
         {lease.expired() ? "expired" : "held", lease.expired() ? Tone::kBad : Tone::kGood},
         {lease.expired() ? "" : DurationText(std::max(left, absl::ZeroDuration()))},
         {DurationText(FromProto(lease.ttl()))},
         {DurationText(FromProto(lease.grace()))},
         {ActionWord(lease.on_expiry())},
         {fmt::to_string(lease.claims())}});
  }
  if (table.is_empty()) {
    invocation.streams.err << "no leases\n";
  } else {
    invocation.streams.out << table.Render(invocation.streams.out_colour);
  }
  for (const pb::Condition& condition : info->conditions()) {
    if (condition.code() == "LEASES_FROZEN") PrintWarning(invocation.streams, condition.detail());
  }
  return ExitCode::kOk;
}

ExitCode Renew(const Invocation& invocation, const LeaseCommand& command) {
  pb::RenewLeaseRequest request = RequestFor(command);
  auto response = invocation.calls.renew_lease(request);
  // A lease that exists keeps its ttl; a new one needs one.
  if (!command.ttl && GetErrorDetails(response.status()).reason == "TTL_RANGE") {
    *request.mutable_ttl() = ToProto(kDefaultTtl);
    response = invocation.calls.renew_lease(request);
  }
  if (!response.ok()) return Fail(invocation, response.status());
  if (invocation.is_json()) {
    PrintMessage(invocation, *response);
    return ExitCode::kOk;
  }
  const pb::Lease& lease = response->lease();
  invocation.streams.out << Printable(fmt::format(
                                "lease/{} held by {} for {}, renew within {}; then {} {} claims",
                                lease.owner(), lease.holder(), DurationText(FromProto(lease.ttl())),
                                DurationText(FromProto(response->renew_after())),
                                ActionWord(lease.on_expiry()), lease.claims()))
                         << '\n';
  return ExitCode::kOk;
}

absl::StatusOr<pb::RenewLeaseResponse> Release(const Invocation& invocation,
                                               const LeaseCommand& command) {
  pb::RenewLeaseRequest request;
  request.set_owner(command.owner);
  request.set_holder(command.holder);
  request.set_release(true);
  // Who names no holder acts as an operator.
  request.set_take_over(command.holder.empty());
  return invocation.calls.renew_lease(request);
}

ExitCode ReleaseAndTell(const Invocation& invocation, const LeaseCommand& command) {
  const auto response = Release(invocation, command);
  if (!response.ok()) return Fail(invocation, response.status());
  if (invocation.is_json()) {
    PrintMessage(invocation, *response);
  } else {
    const bool was_there = !response->lease().holder().empty();
    invocation.streams.out << Printable(fmt::format("lease/{} {}", command.owner,
                                                    was_there ? "released" : "absent"))
                           << '\n';
  }
  return ExitCode::kOk;
}

std::string MakeHolder() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  return fmt::format("{}-{}-{:08x}", host, getpid(), std::random_device()());
}

ExitCode Hold(const Invocation& invocation, LeaseCommand command) {
  if (command.holder.empty()) command.holder = MakeHolder();
  command.ttl = command.ttl.value_or(kDefaultTtl);
  pb::RenewLeaseRequest request = RequestFor(command);
  bool is_lost = false;
  bool was_held = false;
  HeldLease held;
  held.words = command.words;
  held.variables = {"SIDELB_OWNER=" + command.owner, "SIDELB_HOLDER=" + command.holder};
  held.renew = [&]() -> absl::StatusOr<absl::Duration> {
    const auto response = invocation.calls.renew_lease(request);
    if (!response.ok()) return response.status();
    if (is_lost)
      PrintNotice(invocation.streams, fmt::format("lease/{}: renewed again", command.owner));
    is_lost = false;
    was_held = true;
    request.set_take_over(false);  // once is a wish, again would fence whoever took over from here
    return FromProto(response->renew_after());
  };
  held.on_failure = [&](const absl::Status& status) {
    if (std::exchange(is_lost, true)) return;
    PrintWarning(invocation.streams, fmt::format("lease/{}: not renewed: {}; trying again",
                                                 command.owner, std::string(status.message())));
    invocation.streams.err.flush();
  };
  const HoldEnd end = HoldLease(held);
  const bool is_superseded = absl::IsAborted(end.status);
  if (!end.status.ok()) {
    // No hint to whoever was fenced: to take the lease back would only fence the other one.
    const ExitCode exit_code =
        was_held ? PrintError(end.status, invocation.arguments.global.output, invocation.streams)
                 : Fail(invocation, end.status);
    if (end.exit_code == 0 || is_superseded) return exit_code;
  }
  if (!command.is_kept) {
    const auto released = Release(invocation, command);
    if (!released.ok()) {
      PrintWarning(invocation.streams, fmt::format("lease/{}: not released: {}", command.owner,
                                                   std::string(released.status().message())));
    }
  }
  return static_cast<ExitCode>(end.exit_code);
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const LeaseCommand& command) {
  switch (command.verb) {
    case LeaseCommand::Verb::kList:
      return List(invocation);
    case LeaseCommand::Verb::kRenew:
      return Renew(invocation, command);
    case LeaseCommand::Verb::kHold:
      return Hold(invocation, command);
    case LeaseCommand::Verb::kRelease:
      return ReleaseAndTell(invocation, command);
  }
  return ExitCode::kOk;
}

}  // namespace sidelb::client
