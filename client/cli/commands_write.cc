// The commands that change something. Each plans a request, sends it and reports what it did.
#include <algorithm>
#include <set>
#include <utility>

#include "client/cli/commands.h"
#include "client/cli/compile.h"
#include "client/cli/compile_state.h"
#include "client/cli/input.h"
#include "client/cli/json_output.h"
#include "client/cli/read_state.h"
#include "client/cli/report.h"
#include "client/cli/retry.h"
#include "client/cli/values.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

// Reads and plans again this often when another writer came between.
constexpr int kMaxAttempts = 5;

using Planner = std::function<absl::StatusOr<WritePlan>()>;
// The lines that tell what a batch did.
using Describer =
    std::function<std::vector<std::string>(const pb::ApplyRequest&, const pb::ApplyResponse&)>;

struct Applied {
  pb::ApplyRequest request;
  pb::ApplyResponse response;
};

bool IsMismatch(const absl::Status& status) {
  return absl::IsAborted(status) && GetErrorDetails(status).reason == "REVISION_MISMATCH";
}

// So that the write can be sent again when its answer is lost. A plan that is made anew is another
// request.
void SetRequestId(const WriteOptions& write, pb::ApplyRequest* request) {
  if (write.request_id) {
    request->set_request_id(*write.request_id);
  } else if (request->request_id().empty() && !request->validate_only()) {
    request->set_request_id(NewRequestId());
  }
}

// Override ops that met no backend: the daemon takes them for done, a person does not.
ExitCode ReportUnmatched(const Invocation& invocation, const Applied& applied, ExitCode exit_code) {
  for (int i = 0; i < std::min(applied.request.ops_size(), applied.response.results_size()); ++i) {
    const pb::OpResult& result = applied.response.results(i);
    if (!applied.request.ops(i).has_set_override() || result.updated() + result.unchanged() > 0) {
      continue;
    }
    const pb::SetOverride& set = applied.request.ops(i).set_override();
    const bool is_one = set.selector().addresses_size() == 1;
    exit_code =
        PrintError(MakeError(absl::StatusCode::kNotFound, "BACKEND_NOT_FOUND",
                             is_one ? fmt::format("pool \"{}\" has no backend {}", set.pool(),
                                                  set.selector().addresses(0))
                                    : fmt::format("no backend of pool \"{}\" matches", set.pool())),
                   invocation.arguments.global.output, invocation.streams);
  }
  return exit_code;
}

ExitCode Report(const Invocation& invocation, const Applied& applied, const Describer& describe) {
  for (const std::string& warning : applied.response.warnings()) {
    PrintWarning(invocation.streams, warning);
  }
  if (invocation.is_json()) {
    const bool is_line = invocation.arguments.global.output == Output::kJsonLines;
    invocation.streams.out << ToJson(
        applied.response, is_line ? JsonLayout::kLine : JsonLayout::kIndented, JsonFields::kAll);
  } else {
    for (const std::string& line : describe(applied.request, applied.response)) {
      invocation.streams.out << Printable(line) << '\n';
    }
    if (applied.request.validate_only() && !applied.response.impacts().empty()) {
      invocation.streams.out << ImpactTable(applied.response).Render(invocation.streams.out_colour);
    }
  }
  const ExitCode exit_code =
      ExitCodeFor(applied.request, applied.response, invocation.arguments.write);
  return ReportUnmatched(invocation, applied, exit_code);
}

// What the guard refused: with --dry-run the numbers, else how to see them and how to insist.
void ReportRefusedRemoval(const Invocation& invocation, pb::ApplyRequest request) {
  if (!request.validate_only()) {
    PrintHint(invocation.streams,
              "--dry-run shows what it would do; repeat with --allow-mass-removal if it is meant");
    return;
  }
  request.set_allow_mass_removal(true);
  const auto response = invocation.calls.apply(request);
  if (response.ok() && !response->impacts().empty()) {
    invocation.streams.out << ImpactTable(*response).Render(invocation.streams.out_colour);
  }
  PrintHint(invocation.streams, "--allow-mass-removal lets it pass");
}

ExitCode Write(const Invocation& invocation, const Planner& plan_write,
               const Describer& describe = ResultLines) {
  const Output output = invocation.arguments.global.output;
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<WritePlan> plan = plan_write();
    if (!plan.ok()) return PrintError(plan.status(), output, invocation.streams);
    SetRequestId(invocation.arguments.write, &plan->request);
    absl::StatusOr<pb::ApplyResponse> response = invocation.calls.apply(plan->request);
    if (response.ok()) {
      for (const std::string& warning : plan->warnings) PrintWarning(invocation.streams, warning);
      return Report(invocation, {plan->request, *std::move(response)}, describe);
    }
    // Nothing was changed, so that a second attempt is safe.
    if (plan->is_based_on_read && attempt < kMaxAttempts && IsMismatch(response.status())) continue;
    const ExitCode exit_code =
        PrintError(response.status(), output, invocation.streams, &plan->request);
    if (GetErrorDetails(response.status()).reason == "MASS_REMOVAL" && !invocation.is_json()) {
      ReportRefusedRemoval(invocation, plan->request);
    }
    const auto hint = plan->hints.find(GetErrorDetails(response.status()).reason);
    if (hint != plan->hints.end() && !invocation.is_json()) {
      PrintHint(invocation.streams, hint->second);
    }
    return exit_code;
  }
}

ExitCode Write(const Invocation& invocation, const WritePlan& plan) {
  return Write(invocation, [&plan] { return plan; });
}

// `add` of an object that is there: its own words, as the daemon only knows of revisions.
ExitCode WriteNew(const Invocation& invocation, const std::string& noun, const std::string& name,
                  const WritePlan& plan) {
  Calls calls = invocation.calls;
  calls.apply = [&](const pb::ApplyRequest& request) -> absl::StatusOr<pb::ApplyResponse> {
    auto response = invocation.calls.apply(request);
    if (response.ok() || !IsMismatch(response.status()) || request.has_expected_revision()) {
      return response;
    }
    return MakeError(
        absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
        fmt::format("{0}/{1} exists; change it with \"sidelb-cli set {0} {1}\"", noun, name));
  };
  return Write({invocation.arguments, calls, invocation.streams}, plan);
}

// The pool for the default wait of removals, read only if it matters.
absl::StatusOr<std::optional<pb::Pool>> PoolForWait(const Invocation& invocation,
                                                    const std::string& name) {
  const WriteOptions& write = invocation.arguments.write;
  if (write.wait != pb::WAIT_FOR_DRAINED || write.wait_timeout) return std::optional<pb::Pool>();
  return ReadPool(invocation, name);
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const AddBackendsCommand& command) {
  return Write(invocation, [&]() -> absl::StatusOr<WritePlan> {
    bool creates_pool = false;
    if (command.may_create_pool) {
      const auto pool = ReadPool(invocation, command.pool);
      if (!pool.ok()) return pool.status();
      creates_pool = !pool->has_value();
    }
    return PlanAddBackends(invocation.arguments, command, creates_pool);
  });
}

ExitCode RunCommand(const Invocation& invocation, const AddPoolCommand& command) {
  return WriteNew(invocation, "pool", command.name, PlanAddPool(invocation.arguments, command));
}

ExitCode RunCommand(const Invocation& invocation, const AddListenerCommand& command) {
  return WriteNew(invocation, "listener", command.name,
                  PlanAddListener(invocation.arguments, command));
}

ExitCode RunCommand(const Invocation& invocation, const SetBackendsCommand& command) {
  return Write(invocation, [&]() -> absl::StatusOr<WritePlan> {
    pb::GetStateRequest request = ReadRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND},
                                              {command.pool}, pb::VIEW_CONFIG);
    for (const std::string& address : command.addresses) {
      request.mutable_filter()->mutable_backends()->add_addresses(address);
    }
    const auto read = invocation.calls.get_state(request);
    if (!read.ok()) return read.status();
    return PlanSetBackends(invocation.arguments, command, read->state(), read->revision());
  });
}

ExitCode RunCommand(const Invocation& invocation, const SetPoolCommand& command) {
  return Write(invocation, [&]() -> absl::StatusOr<WritePlan> {
    const auto read = invocation.calls.get_state(
        ReadRequest({pb::OBJECT_KIND_POOL}, {command.name}, pb::VIEW_CONFIG));
    if (!read.ok()) return read.status();
    return PlanSetPool(invocation.arguments, command, read->state());
  });
}

ExitCode RunCommand(const Invocation& invocation, const SetListenerCommand& command) {
  return Write(invocation, [&]() -> absl::StatusOr<WritePlan> {
    pb::GetStateRequest request = ReadRequest({pb::OBJECT_KIND_LISTENER}, {}, pb::VIEW_CONFIG);
    request.mutable_filter()->add_listeners(command.name);
    const auto read = invocation.calls.get_state(request);
    if (!read.ok()) return read.status();
    return PlanSetListener(invocation.arguments, command, read->state());
  });
}

ExitCode RunCommand(const Invocation& invocation, const RemoveBackendsCommand& command) {
  return Write(invocation, [&]() -> absl::StatusOr<WritePlan> {
    std::optional<pb::Pool> pool;
    if (!command.drain_timeout && !command.on_timeout) {
      auto read = PoolForWait(invocation, command.pool);
      if (!read.ok()) return read.status();
      pool = *std::move(read);
    }
    return PlanRemoveBackends(invocation.arguments, command, pool);
  });
}

ExitCode RunCommand(const Invocation& invocation, const RemovePoolsCommand& command) {
  return Write(invocation, PlanRemovePools(invocation.arguments, command));
}

ExitCode RunCommand(const Invocation& invocation, const RemoveListenersCommand& command) {
  return Write(invocation, PlanRemoveListeners(invocation.arguments, command));
}

ExitCode RunCommand(const Invocation& invocation, const SetModeCommand& command) {
  return Write(invocation, PlanSetMode(invocation.arguments, command));
}

ExitCode RunCommand(const Invocation& invocation, const ReplaceCommand& command) {
  return Write(invocation, [&]() -> absl::StatusOr<WritePlan> {
    const auto text = ReadInput(command.file, invocation.streams.in);
    if (!text.ok()) return text.status();
    const auto backends = ParseBackendList(command.file, *text);
    if (!backends.ok()) return backends.status();
    if (backends->empty() && !command.may_be_empty) {
      return UsageError(
          fmt::format("{} names no backend, and would remove all of {} from pool "
                      "\"{}\"; --allow-empty if that is meant",
                      command.file == "-" ? "standard input" : command.file,
                      OwnerOf(invocation.arguments), command.pool));
    }
    const auto pool = PoolForWait(invocation, command.pool);
    if (!pool.ok()) return pool.status();
    return PlanReplace(invocation.arguments, command.pool, *backends, *pool);
  });
}

ExitCode RunCommand(const Invocation& invocation, const ApplyFileCommand& command) {
  const Output output = invocation.arguments.global.output;
  // Once: standard input cannot be read again when the plan is made anew.
  const auto text = ReadInput(command.file, invocation.streams.in);
  if (!text.ok()) return PrintError(text.status(), output, invocation.streams);
  auto input = ParseApplyInput(command.file, *text);
  if (!input.ok()) return PrintError(input.status(), output, invocation.streams);
  if (const auto* request = std::get_if<pb::ApplyRequest>(&*input)) {
    return Write(invocation,
                 [&] { return PlanApplyRequest(invocation.arguments, command, *request); });
  }
  const auto& state = std::get<pb::State>(*input);
  if (IsImported(invocation.arguments, command, state)) {
    return Write(invocation, PlanImport(invocation.arguments, command, state));
  }
  return Write(invocation, [&]() -> absl::StatusOr<WritePlan> {
    std::optional<CurrentState> current;
    if (NeedsCurrentState(invocation.arguments, command, state)) {
      pb::GetStateRequest request;
      request.set_view(pb::VIEW_CONFIG);
      auto read = invocation.calls.get_state(request);
      if (!read.ok()) return read.status();
      current = CurrentState{std::move(*read->mutable_state()), read->revision()};
    }
    return PlanApplyState(invocation.arguments, command, state, current);
  });
}

namespace {

// The lines of an override by selector: one for each backend that matches, as it is now. Empty when
// they cannot be read.
std::vector<std::string> OverriddenLines(const Invocation& invocation,
                                         const OverrideCommand& command,
                                         const pb::ApplyRequest& request,
                                         const pb::ApplyResponse& response) {
  pb::GetStateRequest read_request =
      ReadRequest({pb::OBJECT_KIND_BACKEND}, {command.pool}, pb::VIEW_FULL);
  read_request.set_min_revision(response.revision());
  if (!command.selector.is_all) {
    *read_request.mutable_filter()->mutable_backends() = ToSelector(command.selector);
  }
  const auto read = invocation.calls.get_state(read_request);
  if (!read.ok()) return {};
  const bool is_any_changed =
      std::any_of(response.results().begin(), response.results().end(),
                  [](const pb::OpResult& result) { return result.updated() > 0; });
  const std::string suffix = ResultSuffix(request, response);
  std::vector<std::string> lines;
  for (const pb::Backend& backend : read->state().backends()) {
    const pb::BackendState state = backend.status().state();
    if (state == pb::BACKEND_STATE_REMOVING) continue;
    const std::string name = fmt::format("backend/{}/{}", backend.pool(), backend.address());
    const bool is_changed = is_any_changed && backend.revision() >= response.revision();
    const std::string word = is_changed ? OverrideWord(request.ops(0).set_override()) : "unchanged";
    lines.push_back(fmt::format("{} {}{}", name, word, suffix));
    const bool is_out = state == pb::BACKEND_STATE_DRAINING || state == pb::BACKEND_STATE_DISABLED;
    if (command.verb == OverrideCommand::Verb::kEnable && is_out && !backend.claims().empty()) {
      PrintWarning(
          invocation.streams,
          fmt::format("{} is still {}: its owner {} says so; enable --force stands over it", name,
                      Word(pb::BackendState_Name(state), "BACKEND_STATE_"),
                      backend.claims(0).owner()));
    }
  }
  return lines;
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const OverrideCommand& command) {
  const bool is_enable = command.verb == OverrideCommand::Verb::kEnable;
  const Describer describe = [&](const pb::ApplyRequest& request,
                                 const pb::ApplyResponse& response) {
    const bool is_single = std::all_of(
        request.ops().begin(), request.ops().end(),
        [](const pb::Op& op) { return op.set_override().selector().addresses_size() == 1; });
    std::vector<std::string> lines;
    // A dry run changed nothing that could be read; single ops tell their own result.
    if (!request.validate_only() && (is_enable || !is_single)) {
      lines = OverriddenLines(invocation, command, request, response);
    }
    return is_single || lines.empty() ? ResultLines(request, response) : lines;
  };
  return Write(
      invocation, [&] { return PlanOverride(invocation.arguments, command); }, describe);
}

}  // namespace sidelb::client
