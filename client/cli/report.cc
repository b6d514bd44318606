#include "client/cli/report.h"

#include <algorithm>
#include <charconv>

#include "client/cli/json_output.h"
#include "client/cli/values.h"
#include "client/error_details.h"
#include "fmt/format.h"
#include "google/rpc/error_details.pb.h"

namespace sidelb::client {
namespace {

uint32_t Changed(const pb::OpResult& result) {
  return result.added() + result.updated() + result.removed();
}

// The objects that one op names: one or several of one kind, or a part of a pool's backends.
struct Subject {
  std::string name;     // "backend/web/10.0.0.5:80", "backends/web"
  bool is_set = false;  // the result counts more than one object
};

Subject BackendSubject(const std::string& pool, size_t count, const std::string& first) {
  if (count == 1) return {fmt::format("backend/{}/{}", pool, first), false};
  return {fmt::format("backends/{}", pool), true};
}

Subject SubjectOf(const pb::Op& op) {
  switch (op.op_case()) {
    case pb::Op::kPutListener:
      return {"listener/" + op.put_listener().name()};
    case pb::Op::kRemoveListener:
      return {"listener/" + op.remove_listener()};
    case pb::Op::kPutPool:
      return {"pool/" + op.put_pool().name()};
    case pb::Op::kRemovePool:
      return {"pool/" + op.remove_pool().pool()};
    case pb::Op::kUpsertBackends: {
      const pb::BackendSet& set = op.upsert_backends();
      return BackendSubject(set.pool(), set.backends_size(),
                            set.backends().empty() ? "" : set.backends(0).address());
    }
    case pb::Op::kRemoveBackends: {
      const pb::RemoveBackends& remove = op.remove_backends();
      return BackendSubject(remove.pool(), remove.addresses_size(),
                            remove.addresses().empty() ? "" : remove.addresses(0));
    }
    case pb::Op::kReplaceBackends:
      return {"backends/" + op.replace_backends().pool(), true};
    case pb::Op::kSetMode:
      return {"pool/" + op.set_mode().pool()};
    case pb::Op::kSetOverride: {
      const pb::SetOverride& set = op.set_override();
      const auto& addresses = set.selector().addresses();
      Subject subject =
          BackendSubject(set.pool(), addresses.size(), addresses.empty() ? "" : addresses[0]);
      // As a file sets it, beside the op on the backends themselves.
      if (set.clear()) subject.name.replace(0, sizeof("backend") - 1, "override");
      return subject;
    }
    case pb::Op::kImportState:
      return {"state", true};
    case pb::Op::OP_NOT_SET:
      break;
  }
  return {"nothing"};
}

}  // namespace

std::string OverrideWord(const pb::SetOverride& set) {
  const pb::Override& imposed = set.override();
  if (imposed.admin_state() != pb::ADMIN_STATE_UNSPECIFIED) {
    return Word(pb::AdminState_Name(imposed.admin_state()), "ADMIN_STATE_");
  }
  if (imposed.health() == pb::HEALTH_OVERRIDE_FORCE_HEALTHY) return "forced healthy";
  if (imposed.health() == pb::HEALTH_OVERRIDE_FORCE_UNHEALTHY) return "forced unhealthy";
  if (imposed.has_weight()) return fmt::format("overridden to weight {}", imposed.weight());
  for (int part : set.clear_parts()) {
    if (part == pb::OVERRIDE_PART_ADMIN_STATE) return "enabled";
    if (part == pb::OVERRIDE_PART_HEALTH) return "freed of its health override";
    if (part == pb::OVERRIDE_PART_WEIGHT) return "freed of its weight override";
  }
  return set.clear() && !set.has_override() ? "freed of its override" : "overridden";
}

namespace {

// What became of the one object of `op`.
std::string Verdict(const pb::Op& op, const pb::OpResult& result) {
  if (Changed(result) == 0) {
    return op.has_remove_listener() || op.has_remove_pool() ? "absent" : "unchanged";
  }
  if (op.has_set_mode()) return Word(pb::Mode_Name(op.set_mode().mode()), "MODE_");
  if (op.has_set_override()) return OverrideWord(op.set_override());
  if (result.added() > 0) return "added";
  if (result.removed() > 0) return "removed";
  // The claim is gone, the backend lives on by another.
  return op.has_remove_backends() ? "released" : "updated";
}

std::string Counts(const pb::Op& op, const pb::OpResult& result) {
  std::vector<std::string> parts;
  const auto add = [&parts](uint32_t count, const std::string& word) {
    if (count > 0) parts.push_back(fmt::format("{} {}", count, word));
  };
  add(result.added(), "added");
  add(result.updated(), op.has_set_override() ? OverrideWord(op.set_override()) : "updated");
  add(result.removed(), "removed");
  add(result.unchanged(), "unchanged");
  return parts.empty() ? "unchanged" : fmt::format("{}", fmt::join(parts, ", "));
}

// Reads "NAME[N]" at the beginning of `path` and cuts it off with the dot behind it.
bool TakeIndexed(std::string_view* path, std::string_view name, int size, int* index) {
  if (!path->starts_with(name)) return false;
  std::string_view rest = path->substr(name.size());
  if (!rest.starts_with('[')) return false;
  const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), *index);
  if (error != std::errc() || end == rest.data() + rest.size() || *end != ']') return false;
  rest.remove_prefix(static_cast<size_t>(end - rest.data()) + 1);
  if (rest.starts_with('.')) rest.remove_prefix(1);
  *path = rest;
  return *index >= 0 && *index < size;
}

void PrintTagged(const Streams& streams, std::string_view tag, Tone tone, std::string_view text) {
  streams.err << Paint(fmt::format("{}:", tag), tone, streams.err_colour) << ' ' << Printable(text)
              << '\n';
}

}  // namespace

std::string ResultSuffix(const pb::ApplyRequest& request, const pb::ApplyResponse& response) {
  if (request.validate_only()) return " (dry run)";
  return fmt::format(" (revision {}, {}{}{})", response.revision(),
                     Word(pb::WaitFor_Name(response.reached()), "WAIT_FOR_"),
                     response.pending() > 0 ? fmt::format(", {} pending", response.pending()) : "",
                     response.replayed() ? ", replayed" : "");
}

Table ImpactTable(const pb::ApplyResponse& response) {
  Table table({"POOL", "SERVING", "LOST", "STAY", "ADDED", "SESSIONS"});
  table.AlignRightFrom(1);
  for (const pb::PoolImpact& impact : response.impacts()) {
    const uint32_t lost = impact.eligible_before() - impact.eligible_after();
    const bool is_grave = 2 * (impact.eligible_after() + impact.added()) < impact.eligible_before();
    table.AddRow({{impact.pool()},
                  {fmt::to_string(impact.eligible_before())},
                  {fmt::to_string(lost), is_grave ? Tone::kBad : Tone::kCareful},
                  {fmt::to_string(impact.eligible_after())},
                  {fmt::to_string(impact.added())},
                  {fmt::to_string(impact.connections())}});
  }
  return table;
}

std::vector<std::string> ResultLines(const pb::ApplyRequest& request,
                                     const pb::ApplyResponse& response) {
  const std::string suffix = ResultSuffix(request, response);
  std::vector<std::string> lines;
  for (int i = 0; i < std::min(request.ops_size(), response.results_size()); ++i) {
    const Subject subject = SubjectOf(request.ops(i));
    const pb::OpResult& result = response.results(i);
    // Met no backend: an error of its own says so.
    if (request.ops(i).has_set_override() && result.updated() + result.unchanged() == 0) continue;
    lines.push_back(fmt::format(
        "{} {}{}", subject.name,
        subject.is_set ? Counts(request.ops(i), result) : Verdict(request.ops(i), result), suffix));
  }
  return lines;
}

ExitCode ExitCodeFor(const pb::ApplyRequest& request, const pb::ApplyResponse& response,
                     const WriteOptions& write) {
  const bool is_still_claimed = std::any_of(
      response.warnings().begin(), response.warnings().end(), [](const std::string& warning) {
        return warning.find("still claimed by") != std::string::npos;
      });
  if (is_still_claimed) return ExitCode::kConflict;
  if (!request.validate_only() && response.reached() < request.wait()) {
    return ExitCode::kWaitNotReached;
  }
  const bool is_unchanged =
      std::all_of(response.results().begin(), response.results().end(),
                  [](const pb::OpResult& result) { return Changed(result) == 0; });
  if (is_unchanged && write.is_unchanged_an_error) return ExitCode::kUnchanged;
  return ExitCode::kOk;
}

std::string ObjectAt(const pb::ApplyRequest& request, std::string_view field) {
  int index = 0;
  if (!TakeIndexed(&field, "ops", request.ops_size(), &index)) return "";
  const pb::Op& op = request.ops(index);
  const size_t dot = field.find('.');
  std::string_view inside = dot == std::string_view::npos ? "" : field.substr(dot + 1);
  const auto in_set = [&inside](const pb::BackendSet& set) {
    int at = 0;
    return TakeIndexed(&inside, "backends", set.backends_size(), &at)
               ? fmt::format("backend/{}/{}", set.pool(), set.backends(at).address())
               : "";
  };
  std::string object;
  if (op.has_import_state()) {
    constexpr std::string_view kState = "state.";
    const pb::State& state = op.import_state().state();
    int at = 0;
    if (inside.starts_with(kState)) inside.remove_prefix(kState.size());
    if (TakeIndexed(&inside, "backends", state.backends_size(), &at)) {
      object =
          fmt::format("backend/{}/{}", state.backends(at).pool(), state.backends(at).address());
    } else if (TakeIndexed(&inside, "pools", state.pools_size(), &at)) {
      object = "pool/" + state.pools(at).name();
    } else if (TakeIndexed(&inside, "listeners", state.listeners_size(), &at)) {
      object = "listener/" + state.listeners(at).name();
    }
  }
  if (op.has_upsert_backends()) object = in_set(op.upsert_backends());
  if (op.has_replace_backends()) object = in_set(op.replace_backends());
  if (op.has_remove_backends()) {
    int at = 0;
    const pb::RemoveBackends& remove = op.remove_backends();
    if (TakeIndexed(&inside, "addresses", remove.addresses_size(), &at)) {
      object = fmt::format("backend/{}/{}", remove.pool(), remove.addresses(at));
    }
  }
  return object.empty() ? SubjectOf(op).name : object;
}

void PrintMessage(const Invocation& invocation, const google::protobuf::Message& message) {
  const bool is_line = invocation.arguments.global.output == Output::kJsonLines;
  invocation.streams.out << ToJson(message, is_line ? JsonLayout::kLine : JsonLayout::kIndented,
                                   JsonFields::kAll);
}

void PrintWarning(const Streams& streams, std::string_view warning) {
  PrintTagged(streams, "warning", Tone::kCareful, warning);
}

void PrintNotice(const Streams& streams, std::string_view notice) {
  PrintTagged(streams, "notice", Tone::kFaint, notice);
}

void PrintHint(const Streams& streams, std::string_view hint) {
  PrintTagged(streams, "hint", Tone::kFaint, hint);
}

ExitCode PrintError(const absl::Status& status, Output output, const Streams& streams,
                    const pb::ApplyRequest* request) {
  if (output == Output::kJson || output == Output::kJsonLines) {
    streams.err << ToJson(ToRpcStatus(status),
                          output == Output::kJson ? JsonLayout::kIndented : JsonLayout::kLine,
                          JsonFields::kSet);
    return ExitCodeFor(status);
  }
  const ErrorDetails details = GetErrorDetails(status);
  const std::string reason =
      details.reason.empty() ? absl::StatusCodeToString(status.code()) : details.reason;
  const std::string message(status.message());
  PrintTagged(streams, "error", Tone::kBad, fmt::format("{}: {}", reason, message));
  for (const FieldViolation& violation : details.violations) {
    const std::string object = request == nullptr ? "" : ObjectAt(*request, violation.field);
    const bool is_told = message.find(violation.description) != std::string::npos;
    if (is_told && object.empty() && message.find(violation.field) != std::string::npos) continue;
    const std::string what =
        is_told ? violation.field : fmt::format("{}: {}", violation.field, violation.description);
    streams.err << Printable(fmt::format("  {}{}", what, object.empty() ? "" : " (" + object + ")"))
                << '\n';
  }
  return ExitCodeFor(status);
}

}  // namespace sidelb::client
