// watch.
#include <algorithm>
#include <atomic>

#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/event_lines.h"
#include "client/cli/follow.h"
#include "client/cli/report.h"
#include "client/cli/run_hook.h"
#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

// Names longer than this stand out of their column.
constexpr size_t kMaxNameWidth = 44;

// Lines for people.
class EventPrinter {
 public:
  explicit EventPrinter(const Streams& streams) : streams_(streams) {
    layout_.colour = streams.out_colour;
    layout_.zone = absl::LocalTimeZone();
  }

  void Print(const Follower::Step& step, const WatchView& view) {
    if (step.message.snapshot().last()) {
      for (const auto& [key, backend] : view.backends()) {
        Widen(TextWidth(key.first) + 1 + TextWidth(key.second));
      }
      streams_.out << SummaryLines(view, layout_.colour);
    }
    const pb::Events& events = step.message.events();
    const absl::Time time = events.has_time() ? FromProto(events.time()) : absl::Now();
    for (const WatchView::Change& change : step.changes) {
      Widen(TextWidth(NameOf(change.event)));
      streams_.out << EventLine(change, time, events.actor(), layout_);
    }
    streams_.out.flush();
  }

 private:
  void Widen(size_t width) {
    layout_.name_width = std::max(layout_.name_width, std::min(width, kMaxNameWidth));
  }

  const Streams& streams_;
  EventLineLayout layout_;
};

// Objects for programs. Whoever reads a line with a token knows all that came before the token.
class JsonPrinter {
 public:
  JsonPrinter(const Streams& streams, Output output, bool has_heartbeats)
      : streams_(streams),
        layout_(output == Output::kJson ? JsonLayout::kIndented : JsonLayout::kLine),
        has_heartbeats_(has_heartbeats) {}

  void Print(const Follower::Step& step, const WatchView& view) {
    const auto token = view.token();
    const std::string token_text = token ? token->ToString() : "";
    switch (step.message.payload_case()) {
      case pb::WatchResponse::kSnapshot:
        if (step.message.snapshot().last()) PrintSnapshot(step.message, view, token_text);
        break;
      case pb::WatchResponse::kEvents:
        for (const WatchView::Change& change : step.changes) PrintLine(change.event, token_text);
        has_printed_objects_ = true;
        break;
      case pb::WatchResponse::kHeartbeat:
        if (has_heartbeats_) PrintLine(step.message, token_text);
        break;
      case pb::WatchResponse::kResync:
        has_printed_objects_ = false;
        PrintLine(step.message, "");
        break;
      default:
        PrintLine(step.message, token_text);
    }
    streams_.out.flush();
  }

 private:
  void PrintLine(const google::protobuf::Message& message, std::string_view token) {
    streams_.out << TokenLine(message, token, layout_);
  }

  template <typename Map, typename Set>
  void PrintObjects(const Map& objects, Set set) {
    for (const auto& [key, object] : objects) {
      pb::Event event;
      event.set_kind(pb::EVENT_KIND_PUT);
      *set(&event) = object;
      PrintLine(event, "");
    }
  }

  void PrintSnapshot(const pb::WatchResponse& last, const WatchView& view, std::string_view token) {
    pb::WatchResponse mark = last;
    if (has_printed_objects_) {
      // This program asked for it, so that the daemon sent no RESYNC.
      mark.mutable_resync();
      PrintLine(mark, "");
    }
    PrintObjects(view.listeners(), [](pb::Event* event) { return event->mutable_listener(); });
    PrintObjects(view.pools(), [](pb::Event* event) { return event->mutable_pool(); });
    PrintObjects(view.backends(), [](pb::Event* event) { return event->mutable_backend(); });
    mark.mutable_snapshot()->set_last(true);
    mark.mutable_snapshot()->clear_state();
    PrintLine(mark, token);
    has_printed_objects_ = true;
  }

  const Streams& streams_;
  const JsonLayout layout_;
  const bool has_heartbeats_;
  bool has_printed_objects_ = false;
};

// Runs a command for each change.
class HookRunner {
 public:
  HookRunner(const Streams& streams, const std::string& command)
      : streams_(streams), command_(command) {}

  void Run(const Follower::Step& step, const WatchView& view) {
    const auto token = view.token();
    const std::string token_text = token ? token->ToString() : "";
    for (const WatchView::Change& change : step.changes) {
      // Whoever presses Ctrl-C does not want to wait for the rest.
      if (is_stopped) return;
      streams_.out.flush();
      const std::string failure =
          RunHook(command_, TokenLine(change.event, token_text, JsonLayout::kLine),
                  HookVariables(change.event, token_text));
      if (failure.empty()) continue;
      PrintWarning(streams_,
                   fmt::format("--exec failed for {}: {}", NameOf(change.event), failure));
      streams_.err.flush();
    }
  }

  std::atomic<bool> is_stopped = false;

 private:
  const Streams& streams_;
  const std::string& command_;
};

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const WatchCommand& command) {
  const Streams& streams = invocation.streams;
  pb::WatchRequest request = FollowRequest(command.kinds, command.pools, command.view);
  if (command.resume) {
    request.set_resume_epoch(command.resume->epoch);
    request.set_resume_position(command.resume->position);
  }
  Follower follower(std::move(request), FollowOptions(invocation));
  HookRunner hook(streams, command.hook);
  const Interrupt::Listener listener(streams.interrupt, [&follower, &hook] {
    hook.is_stopped = true;
    follower.Cancel();
  });
  ConnectionNotices notices(streams);
  EventPrinter events(streams);
  JsonPrinter json(streams, invocation.arguments.global.output, command.has_heartbeats);
  while (true) {
    const Follower::Step step = follower.Next(absl::InfiniteFuture());
    notices.Tell(step);
    if (step.kind == Follower::Step::Kind::kMessage) {
      if (!command.hook.empty()) {
        hook.Run(step, follower.view());
      } else if (invocation.is_json()) {
        json.Print(step, follower.view());
      } else {
        events.Print(step, follower.view());
      }
    }
    if (const auto end = EndOf(invocation, step)) return *end;
  }
}

}  // namespace sidelb::client
