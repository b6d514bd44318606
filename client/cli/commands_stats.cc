// stats.
#include <algorithm>
#include <set>

#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/report.h"
#include "client/cli/stats_output.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

// Leaves only the rows of what was named, and returns the names that nothing has.
std::vector<std::string> Select(const std::vector<std::string>& names,
                                pb::GetStatsResponse* stats) {
  if (names.empty()) return {};
  const std::set<std::string> wanted(names.begin(), names.end());
  std::set<std::string> found;
  auto* rows = stats->mutable_rows();
  rows->erase(std::remove_if(rows->begin(), rows->end(),
                             [&](const pb::StatRow& row) {
                               if (!wanted.contains(row.name())) return true;
                               found.insert(row.name());
                               return false;
                             }),
              rows->end());
  std::vector<std::string> missing;
  std::set_difference(wanted.begin(), wanted.end(), found.begin(), found.end(),
                      std::back_inserter(missing));
  return missing;
}

void PrintTables(const Invocation& invocation, const StatsCommand& command,
                 const pb::GetStatsResponse& stats) {
  const Streams& streams = invocation.streams;
  const StatsColumns columns = invocation.arguments.global.output == Output::kWide
                                   ? StatsColumns::kWide
                                   : StatsColumns::kDefault;
  const NumberStyle style = command.is_exact ? NumberStyle::kExact : NumberStyle::kHuman;
  std::string text;
  for (const pb::ObjectKind kind :
       {pb::OBJECT_KIND_LISTENER, pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND}) {
    const Table table = StatsTable(stats, kind, style, columns);
    if (table.is_empty()) continue;
    if (!text.empty()) text += "\n";
    text += table.Render(streams.out_colour);
  }
  streams.out << text;
  if (text.empty() && command.names.empty()) streams.err << "no listeners, pools or backends\n";
}

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const StatsCommand& command) {
  const Output output = invocation.arguments.global.output;
  const Streams& streams = invocation.streams;
  auto stats = invocation.calls.get_stats({});
  if (!stats.ok()) return PrintError(stats.status(), output, streams);
  const std::vector<std::string> missing = Select(command.names, &*stats);
  if (invocation.is_json()) {
    PrintMessage(invocation, *stats);
  } else if (output == Output::kCsv) {
    pb::GetStateRequest request;
    request.set_view(pb::VIEW_FULL);
    const auto state = invocation.calls.get_state(request);
    if (!state.ok()) return PrintError(state.status(), output, streams);
    streams.out << StatsCsv(*stats, state->state(), absl::Now());
  } else {
    PrintTables(invocation, command, *stats);
  }
  ExitCode exit_code = ExitCode::kOk;
  for (const std::string& name : missing) {
    exit_code = PrintError(MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                                     fmt::format("there is no pool or listener \"{}\"", name)),
                           output, streams);
  }
  return exit_code;
}

}  // namespace sidelb::client
