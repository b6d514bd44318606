// diff.
#include <utility>
#include <variant>

#include "client/cli/commands.h"
#include "client/cli/compile_state.h"
#include "client/cli/input.h"
#include "client/cli/json_output.h"
#include "client/cli/report.h"
#include "client/cli/state_diff.h"
#include "client/error_details.h"
#include "fmt/format.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace sidelb::client {
namespace {

using Kind = ObjectChange::Kind;

struct Sign {
  std::string_view sign;
  std::string_view word;
  Tone tone;
};

Sign SignOf(Kind kind) {
  switch (kind) {
    case Kind::kAdded:
      return {"+", "added", Tone::kGood};
    case Kind::kRemoved:
      return {"-", "removed", Tone::kBad};
    case Kind::kChanged:
      break;
  }
  return {"~", "changed", Tone::kCareful};
}

std::string Shown(const std::string& text) { return text.empty() ? "<none>" : text; }

void PrintChanges(const std::vector<ObjectChange>& changes, const Streams& streams) {
  size_t width = 0;
  for (const ObjectChange& change : changes) {
    for (const FieldChange& field : change.fields) width = std::max(width, field.path.size());
  }
  for (const ObjectChange& change : changes) {
    const Sign sign = SignOf(change.kind);
    streams.out << Paint(Printable(fmt::format("{} {}", sign.sign, change.object)), sign.tone,
                         streams.out_colour)
                << '\n';
    for (const FieldChange& field : change.fields) {
      const std::string value =
          change.kind == Kind::kAdded
              ? Shown(field.after)
              : fmt::format("{} → {}", Shown(field.before), Shown(field.after));
      streams.out << Printable(fmt::format("    {:<{}}  {}", field.path + ":", width + 1, value))
                  << '\n';
    }
  }
}

google::protobuf::Struct ChangeJson(const ObjectChange& change) {
  google::protobuf::Struct json;
  auto& members = *json.mutable_fields();
  members["object"].set_string_value(change.object);
  members["change"].set_string_value(std::string(SignOf(change.kind).word));
  auto* const fields = members["fields"].mutable_list_value();
  for (const FieldChange& field : change.fields) {
    auto& values = *fields->add_values()->mutable_struct_value()->mutable_fields();
    values["path"].set_string_value(field.path);
    values["before"].set_string_value(field.before);
    values["after"].set_string_value(field.after);
  }
  return json;
}

// With the impacts as the API's JSON has them.
void PrintJson(const Invocation& invocation, const std::vector<ObjectChange>& changes,
               const pb::ApplyResponse& checked) {
  google::protobuf::Struct json;
  auto& members = *json.mutable_fields();
  auto* const impacts = members["impacts"].mutable_list_value();
  for (const pb::PoolImpact& impact : checked.impacts()) {
    // Cannot fail: any object is a Struct.
    (void)google::protobuf::util::JsonStringToMessage(
        ToJson(impact, JsonLayout::kLine, JsonFields::kAll),
        impacts->add_values()->mutable_struct_value());
  }
  auto* const warnings = members["warnings"].mutable_list_value();
  for (const std::string& warning : checked.warnings()) {
    warnings->add_values()->set_string_value(warning);
  }
  auto* const list = members["changes"].mutable_list_value();
  for (const ObjectChange& change : changes) {
    *list->add_values()->mutable_struct_value() = ChangeJson(change);
  }
  PrintMessage(invocation, json);
}

absl::StatusOr<WritePlan> PlanOf(const Invocation& invocation, const ApplyFileCommand& command,
                                 const CurrentState& current) {
  const auto text = ReadInput(command.file, invocation.streams.in);
  if (!text.ok()) return text.status();
  const auto input = ParseApplyInput(command.file, *text);
  if (!input.ok()) return input.status();
  if (const auto* request = std::get_if<pb::ApplyRequest>(&*input)) {
    return PlanApplyRequest(invocation.arguments, command, *request);
  }
  const auto& state = std::get<pb::State>(*input);
  if (IsImported(invocation.arguments, command, state)) {
    return PlanImport(invocation.arguments, command, state);
  }
  return PlanApplyState(invocation.arguments, command, state, current);
}

struct Checked {
  pb::ApplyResponse response;
  absl::Status refusal;  // what would keep `apply` from it
};

// What the daemon says of the request. What the guard refuses is still told.
absl::StatusOr<Checked> Check(const Invocation& invocation, pb::ApplyRequest request) {
  request.set_validate_only(true);
  auto response = invocation.calls.apply(request);
  if (response.ok()) return Checked{*std::move(response), absl::OkStatus()};
  const absl::Status refusal = response.status();
  if (GetErrorDetails(refusal).reason != "MASS_REMOVAL") return refusal;
  request.set_allow_mass_removal(true);
  response = invocation.calls.apply(request);
  if (!response.ok()) return response.status();
  return Checked{*std::move(response), refusal};
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const DiffCommand& command) {
  const Output output = invocation.arguments.global.output;
  const Streams& streams = invocation.streams;
  pb::GetStateRequest read_request;
  read_request.set_view(pb::VIEW_CONFIG);
  auto read = invocation.calls.get_state(read_request);
  if (!read.ok()) return PrintError(read.status(), output, streams);
  const CurrentState current{std::move(*read->mutable_state()), read->revision()};
  const auto plan = PlanOf(invocation, command.apply, current);
  if (!plan.ok()) return PrintError(plan.status(), output, streams);
  const auto checked = Check(invocation, plan->request);
  const auto changes =
      DiffRequest(plan->request, current.state, checked.ok() ? &checked->response : nullptr);
  const pb::ApplyResponse answer = checked.ok() ? checked->response : pb::ApplyResponse();
  if (invocation.is_json()) {
    PrintJson(invocation, changes, answer);
  } else {
    PrintChanges(changes, streams);
    if (!answer.impacts().empty()) {
      streams.out << '\n' << ImpactTable(answer).Render(streams.out_colour);
    }
    if (changes.empty() && checked.ok()) streams.err << "no differences\n";
  }
  for (const std::string& warning : plan->warnings) PrintWarning(streams, warning);
  for (const std::string& warning : answer.warnings()) PrintWarning(streams, warning);
  if (!checked.ok()) return PrintError(checked.status(), output, streams, &plan->request);
  if (!checked->refusal.ok()) {
    PrintWarning(streams,
                 fmt::format("apply will refuse this unless --allow-mass-removal is set: {}",
                             std::string(checked->refusal.message())));
  }
  return changes.empty() ? ExitCode::kOk : ExitCode::kDiffers;
}

}  // namespace sidelb::client
