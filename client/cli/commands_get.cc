// get and export.
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/compile_state.h"
#include "client/cli/get_objects.h"
#include "client/cli/json_output.h"
#include "client/cli/read_state.h"
#include "client/cli/report.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

// One object a line.
void PrintLines(const pb::State& state, std::ostream& out) {
  const auto print = [&out](const auto& objects) {
    for (const auto& object : objects) {
      out << ToJson(object, JsonLayout::kLine, JsonFields::kAll);
    }
  };
  print(state.listeners());
  print(state.pools());
  print(state.backends());
}

// Of what `get backends -o wide` shows; a filter may have left out members of a group.
absl::StatusOr<IpGroups> ReadGroups(const Invocation& invocation, const GetCommand& command,
                                    const pb::State& state) {
  const bool is_wide = invocation.arguments.global.output == Output::kWide;
  if (!is_wide || command.noun != GetCommand::Noun::kBackends) return IpGroups();
  if (!HasFilter(command)) return GroupByIp(state);
  std::vector<std::string> grouped;
  for (const pb::Pool& pool : state.pools()) {
    if (pool.group_by_ip()) grouped.push_back(pool.name());
  }
  if (grouped.empty()) return IpGroups();
  const auto all = invocation.calls.get_state(
      ReadRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND}, grouped, pb::VIEW_FULL));
  if (!all.ok()) return all.status();
  return GroupByIp(all->state());
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const GetCommand& command) {
  if (command.is_watching) return WatchRows(invocation, command);
  const Output output = invocation.arguments.global.output;
  const Streams& streams = invocation.streams;
  auto read = invocation.calls.get_state(RequestFor(command));
  if (!read.ok()) return PrintError(read.status(), output, streams);
  pb::State& state = *read->mutable_state();
  const std::vector<absl::Status> missing = MissingErrors(command, state);
  const auto groups = ReadGroups(invocation, command, state);
  if (!groups.ok()) return PrintError(groups.status(), output, streams);
  if (command.noun == GetCommand::Noun::kBackends) state.clear_pools();

  if (output == Output::kJson) {
    streams.out << ToJson(state, JsonLayout::kIndented, JsonFields::kAll);
  } else if (output == Output::kJsonLines) {
    PrintLines(state, streams.out);
  } else {
    const Table table = TableFor(command, state, output, absl::Now(), *groups);
    if (!table.is_empty()) {
      streams.out << table.Render(streams.out_colour);
    } else if (missing.empty()) {
      streams.err << fmt::format("no {}\n", NounOf(command));
    }
  }
  ExitCode exit_code = ExitCode::kOk;
  for (const absl::Status& error : missing) exit_code = PrintError(error, output, streams);
  return exit_code;
}

ExitCode RunCommand(const Invocation& invocation, const ExportCommand&) {
  const Output output = invocation.arguments.global.output;
  pb::GetStateRequest request;
  request.set_view(pb::VIEW_CONFIG);
  auto read = invocation.calls.get_state(request);
  if (!read.ok()) return PrintError(read.status(), output, invocation.streams);
  const pb::State state = WithoutOutput(std::move(*read->mutable_state()));
  invocation.streams.out << ToJson(
      state, output == Output::kJsonLines ? JsonLayout::kLine : JsonLayout::kIndented,
      JsonFields::kSet);
  return ExitCode::kOk;
}

}  // namespace sidelb::client
