// health without --force and --clear: shows it. The other forms are overrides (commands_write.cc).
#include <algorithm>

#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/compile.h"
#include "client/cli/object_tables.h"
#include "client/cli/read_state.h"
#include "client/cli/report.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {

ExitCode RunCommand(const Invocation& invocation, const ShowHealthCommand& command) {
  const Output output = invocation.arguments.global.output;
  const Streams& streams = invocation.streams;
  std::vector<std::string> pools;
  if (!command.pool.empty()) pools.push_back(command.pool);
  // With the pools, so that a name that is wrong can be told from a pool that is empty.
  pb::GetStateRequest request =
      ReadRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND}, pools, pb::VIEW_FULL);
  const pb::Selector selector = ToSelector(command.selector);
  if (selector.ByteSizeLong() > 0 && !selector.all()) {
    *request.mutable_filter()->mutable_backends() = selector;
  }
  auto read = invocation.calls.get_state(request);
  if (!read.ok()) return PrintError(read.status(), output, streams);
  pb::State& state = *read->mutable_state();
  if (!command.pool.empty() && state.pools().empty()) {
    return PrintError(MakeError(absl::StatusCode::kNotFound, "POOL_NOT_FOUND",
                                fmt::format("there is no pool \"{}\"", command.pool)),
                      output, streams);
  }
  state.clear_pools();
  if (invocation.is_json()) {
    PrintMessage(invocation, state);
  } else if (!state.backends().empty()) {
    streams.out << HealthTable(state, absl::Now()).Render(streams.out_colour);
  } else if (command.selector.addresses.empty()) {
    streams.err << "no backends\n";
  }
  ExitCode exit_code = ExitCode::kOk;
  for (const std::string& address : command.selector.addresses) {
    const bool is_there = std::any_of(
        state.backends().begin(), state.backends().end(),
        [&address](const pb::Backend& backend) { return backend.address() == address; });
    if (is_there) continue;
    exit_code =
        PrintError(MakeError(absl::StatusCode::kNotFound, "BACKEND_NOT_FOUND",
                             fmt::format("pool \"{}\" has no backend {}", command.pool, address)),
                   output, streams);
  }
  return exit_code;
}

}  // namespace sidelb::client
