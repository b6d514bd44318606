// get -w.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/event_lines.h"
#include "client/cli/follow.h"
#include "client/cli/get_objects.h"
#include "client/cli/report.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

pb::State StateOf(const WatchView& view) {
  pb::State state;
  for (const auto& [key, listener] : view.listeners()) *state.add_listeners() = listener;
  for (const auto& [key, pool] : view.pools()) *state.add_pools() = pool;
  for (const auto& [key, backend] : view.backends()) *state.add_backends() = backend;
  return state;
}

pb::State StateOf(const pb::Event& event) {
  pb::State state;
  if (event.has_listener()) *state.add_listeners() = event.listener();
  if (event.has_pool()) *state.add_pools() = event.pool();
  if (event.has_backend()) *state.add_backends() = event.backend();
  return state;
}

// Prints the table once and then each row whose text has changed.
class RowPrinter {
 public:
  RowPrinter(const Invocation& invocation, const GetCommand& command)
      : command_(command),
        output_(invocation.arguments.global.output),
        streams_(invocation.streams) {}

  void PrintAll(const pb::State& state) {
    const Table table = TableFor(command_, state, output_, absl::Now(), GroupsOf(state));
    if (!is_begun_ && table.is_empty())
      streams_.err << fmt::format("no {} yet\n", NounOf(command_));
    // When everything comes anew, what is not there any more was removed meanwhile.
    std::set<std::string> keys;
    for (const auto& row : table.rows()) keys.insert(KeyOf(row));
    std::vector<std::string> removed;
    for (const auto& [key, row] : shown_) {
      if (!keys.contains(key)) removed.push_back(key);
    }
    for (const std::string& key : removed) PrintRemoved(key);
    PrintChanged(table);
    is_begun_ = true;
  }

  void PrintChange(const WatchView::Change& change, const WatchView& view) {
    const IpGroups groups = IsGrouping() ? GroupsOf(StateOf(view)) : IpGroups();
    const Table table = TableFor(command_, StateOf(change.event), output_, absl::Now(), groups);
    if (table.is_empty()) return;  // the pool of a backend
    if (change.event.kind() == pb::EVENT_KIND_REMOVED) {
      PrintRemoved(KeyOf(table.rows()[0]));
    } else {
      PrintChanged(table);
    }
  }

 private:
  // Whether groups by IP show. Of a filtered view their counts would be too small.
  bool IsGrouping() const {
    return output_ == Output::kWide && command_.noun == GetCommand::Noun::kBackends &&
           !HasFilter(command_);
  }
  IpGroups GroupsOf(const pb::State& state) const {
    return IsGrouping() ? GroupByIp(state) : IpGroups();
  }

  // The column that says "removed"; a pool has no state.
  size_t StateColumn() const {
    switch (command_.noun) {
      case GetCommand::Noun::kListeners:
        return 4;
      case GetCommand::Noun::kPools:
        return 1;
      case GetCommand::Noun::kBackends:
        break;
    }
    return 2;
  }

  std::string KeyOf(const std::vector<Table::Cell>& row) const {
    return command_.noun == GetCommand::Noun::kBackends ? row[0].text + "/" + row[1].text
                                                        : row[0].text;
  }

  void PrintRemoved(const std::string& key) {
    const auto found = shown_.find(key);
    if (found == shown_.end()) return;
    std::vector<Table::Cell> row = std::move(found->second);
    shown_.erase(found);
    // What leaves a filter by state may still exist.
    row[StateColumn()] = {command_.states.empty() ? "removed" : "gone", Tone::kCareful};
    Table table = TableFor(command_, {}, output_, absl::Now());
    table.AddRow(std::move(row));
    PrintRows(table);
  }

  void PrintChanged(Table table) {
    std::erase_if(table.rows(), [this](const std::vector<Table::Cell>& row) {
      const std::vector<Table::Cell> before = std::exchange(shown_[KeyOf(row)], row);
      return std::equal(
          before.begin(), before.end(), row.begin(), row.end(),
          [](const Table::Cell& a, const Table::Cell& b) { return a.text == b.text; });
    });
    if (!table.is_empty()) PrintRows(table);
  }

  void PrintRows(const Table& table) {
    if (widths_.empty()) {
      widths_ = table.Widths();
      streams_.out << table.Render(streams_.out_colour);
    } else {
      streams_.out << table.RenderRows(widths_, streams_.out_colour);
    }
    streams_.out.flush();
  }

  const GetCommand& command_;
  const Output output_;
  const Streams& streams_;
  bool is_begun_ = false;
  std::vector<size_t> widths_;  // of the table under whose header the rows stand
  std::map<std::string, std::vector<Table::Cell>> shown_;  // the last text of each row by its key
};

}  // namespace

ExitCode WatchRows(const Invocation& invocation, const GetCommand& command) {
  pb::WatchRequest request;
  request.set_view(pb::VIEW_FULL);
  *request.mutable_filter() = RequestFor(command).filter();
  Follower follower(std::move(request), FollowOptions(invocation));
  const Interrupt::Listener listener(invocation.streams.interrupt,
                                     [&follower] { follower.Cancel(); });
  ConnectionNotices notices(invocation.streams);
  RowPrinter rows(invocation, command);
  bool is_first = true;
  while (true) {
    const Follower::Step step = follower.Next(absl::InfiniteFuture());
    notices.Tell(step);
    if (step.message.snapshot().last()) {
      pb::State state = StateOf(follower.view());
      ExitCode exit_code = ExitCode::kOk;
      for (const absl::Status& error : MissingErrors(command, state)) {
        exit_code = PrintError(error, Output::kTable, invocation.streams);
      }
      if (is_first && exit_code != ExitCode::kOk) return exit_code;
      is_first = false;
      rows.PrintAll(state);
    }
    for (const WatchView::Change& change : step.changes) rows.PrintChange(change, follower.view());
    if (const auto end = EndOf(invocation, step)) return *end;
  }
}

}  // namespace sidelb::client
