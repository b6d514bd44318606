// get and export.
#include <algorithm>

#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/compile.h"
#include "client/cli/compile_state.h"
#include "client/cli/json_output.h"
#include "client/cli/object_tables.h"
#include "client/cli/read_state.h"
#include "client/cli/report.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

pb::GetStateRequest RequestFor(const GetCommand& command) {
  pb::GetStateRequest request;
  switch (command.noun) {
    case GetCommand::Noun::kListeners:
      request = ReadRequest({pb::OBJECT_KIND_LISTENER}, {}, pb::VIEW_FULL);
      for (const std::string& name : command.names) {
        request.mutable_filter()->add_listeners(name);
      }
      break;
    case GetCommand::Noun::kPools:
      request = ReadRequest({pb::OBJECT_KIND_POOL}, command.names, pb::VIEW_FULL);
      break;
    case GetCommand::Noun::kBackends: {
      // With the pools, so that a name that is wrong can be told from a pool that is empty.
      request = ReadRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND}, command.names,
                            pb::VIEW_FULL);
      const pb::Selector selector = ToSelector(command.selector);
      if (selector.ByteSizeLong() > 0) *request.mutable_filter()->mutable_backends() = selector;
      for (pb::BackendState state : command.states) request.mutable_filter()->add_states(state);
      break;
    }
  }
  return request;
}

// Names that were asked for and are not there.
std::vector<std::string> Missing(const GetCommand& command, const pb::State& state) {
  std::vector<std::string> missing;
  for (const std::string& name : command.names) {
    const auto is_named = [&name](const auto& object) { return object.name() == name; };
    const bool is_there =
        command.noun == GetCommand::Noun::kListeners
            ? std::any_of(state.listeners().begin(), state.listeners().end(), is_named)
            : std::any_of(state.pools().begin(), state.pools().end(), is_named);
    if (!is_there) missing.push_back(name);
  }
  return missing;
}

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

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const GetCommand& command) {
  const Output output = invocation.arguments.global.output;
  const Streams& streams = invocation.streams;
  auto read = invocation.calls.get_state(RequestFor(command));
  if (!read.ok()) return PrintError(read.status(), output, streams);
  pb::State& state = *read->mutable_state();
  const std::vector<std::string> missing = Missing(command, state);
  if (command.noun == GetCommand::Noun::kBackends) state.clear_pools();

  if (output == Output::kJson) {
    streams.out << ToJson(state, JsonLayout::kIndented, JsonFields::kAll);
  } else if (output == Output::kJsonLines) {
    PrintLines(state, streams.out);
  } else {
    const Columns columns = output == Output::kWide ? Columns::kWide : Columns::kDefault;
    const bool is_listeners = command.noun == GetCommand::Noun::kListeners;
    const bool is_pools = command.noun == GetCommand::Noun::kPools;
    const Table table = is_listeners ? ListenerTable(state, columns)
                        : is_pools   ? PoolTable(state, columns)
                                     : BackendTable(state, columns, absl::Now());
    if (!table.is_empty()) {
      streams.out << table.Render(streams.out_colour);
    } else if (missing.empty()) {
      streams.err << (is_listeners ? "no listeners\n" : is_pools ? "no pools\n" : "no backends\n");
    }
  }
  ExitCode exit_code = ExitCode::kOk;
  for (const std::string& name : missing) {
    const bool is_listener = command.noun == GetCommand::Noun::kListeners;
    exit_code = PrintError(
        MakeError(absl::StatusCode::kNotFound,
                  is_listener ? "LISTENER_NOT_FOUND" : "POOL_NOT_FOUND",
                  fmt::format("there is no {} \"{}\"", is_listener ? "listener" : "pool", name)),
        output, streams);
  }
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
