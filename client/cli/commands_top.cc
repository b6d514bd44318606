// top.
#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/follow.h"
#include "client/cli/live_view.h"
#include "client/cli/report.h"
#include "client/cli/screen.h"
#include "client/cli/top_frame.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

// For frames that no terminal limits.
constexpr ScreenSize kBatchSize = {0, 200};

absl::StatusOr<TopSample> TakeSample(const Calls& calls, const std::string& pool) {
  pb::GetStatsRequest request;
  if (!pool.empty()) request.mutable_filter()->add_pools(pool);
  auto stats = calls.get_stats(request);
  if (!stats.ok()) return stats.status();
  auto info = calls.get_info();
  if (!info.ok()) return info.status();
  return TopSample{*std::move(stats), *std::move(info), absl::Now()};
}

// The last two samples.
class Samples {
 public:
  void Add(TopSample sample) {
    before_ = std::exchange(now_, std::move(sample));
    // Counters of another run of the daemon cannot be subtracted.
    if (before_ && before_->info.epoch() != now_->info.epoch()) before_.reset();
  }
  const TopSample* before() const { return before_ ? &*before_ : nullptr; }
  const TopSample& now() const { return *now_; }

 private:
  std::optional<TopSample> before_;
  std::optional<TopSample> now_;
};

void Use(Key key, const TopFrame& frame, TopSettings* settings) {
  // From where the last frame could stand, so that no key is lost beyond the end.
  size_t& scroll = settings->scroll;
  scroll = frame.scroll;
  const size_t page = std::max<size_t>(1, frame.page_rows);
  switch (key) {
    case Key::kSort:
      settings->sort = static_cast<TopSort>((static_cast<int>(settings->sort) + 1) % kTopSorts);
      break;
    case Key::kReverse:
      settings->is_reversed = !settings->is_reversed;
      break;
    case Key::kPause:
      settings->is_paused = !settings->is_paused;
      break;
    case Key::kUp:
      scroll -= std::min<size_t>(scroll, 1);
      break;
    case Key::kDown:
      ++scroll;
      break;
    case Key::kPageUp:
      scroll -= std::min(scroll, page);
      break;
    case Key::kPageDown:
      scroll += page;
      break;
    case Key::kHome:
      scroll = 0;
      break;
    case Key::kEnd:
      scroll = SIZE_MAX;
      break;
    case Key::kQuit:
      break;
  }
}

class Top {
 public:
  Top(const Invocation& invocation, const TopCommand& command)
      : invocation_(invocation), command_(command) {}

  // The first sample and the first view. OK when both are there.
  absl::Status Begin(LiveView* live) {
    auto sample = TakeSample(invocation_.calls, command_.pool);
    if (!sample.ok()) return sample.status();
    samples_.Add(*std::move(sample));
    const absl::Status status =
        live->WaitUntilComplete(absl::Now() + invocation_.arguments.global.timeout);
    if (!status.ok()) return status;
    const LiveView::Locked locked(live);
    if (!command_.pool.empty() && locked.view().pools().empty()) {
      return MakeError(absl::StatusCode::kNotFound, "POOL_NOT_FOUND",
                       fmt::format("there is no pool \"{}\"", command_.pool));
    }
    return absl::OkStatus();
  }

  // Prints frames one below the other, each after an interval, so that it has rates.
  ExitCode RunBatch(LiveView* live, const absl::Notification& end) {
    const uint64_t frames = command_.frames.value_or(1);
    for (uint64_t i = 0; i < frames; ++i) {
      if (end.WaitForNotificationWithTimeout(command_.interval)) return ExitAtEnd(live);
      auto sample = TakeSample(invocation_.calls, command_.pool);
      if (!sample.ok()) return Fail(sample.status());
      samples_.Add(*std::move(sample));
      const TopFrame frame = Render(live, "", kBatchSize);
      if (i > 0) invocation_.streams.out << '\n';
      for (const std::string& line : frame.lines) {
        if (!line.empty()) invocation_.streams.out << line << '\n';
      }
      invocation_.streams.out.flush();
      if (!invocation_.streams.out) return ExitCode::kRejected;
    }
    return ExitCode::kOk;
  }

  ExitCode RunScreen(LiveView* live, Screen* screen, const absl::Notification& end) {
    uint64_t frames = 0;
    std::string trouble;
    absl::Time next_sample = absl::Now() + command_.interval;
    while (true) {
      const TopFrame frame = Render(live, trouble, screen->size());
      screen->Draw(frame.lines);
      const auto wake_time = settings_.is_paused ? absl::InfiniteFuture() : next_sample;
      for (const Key key : screen->WaitForKeys(wake_time)) {
        if (key == Key::kQuit) return ExitCode::kOk;
        Use(key, frame, &settings_);
      }
      if (end.HasBeenNotified()) return ExitAtEnd(live);
      if (settings_.is_paused || absl::Now() < next_sample) continue;
      if (command_.frames && ++frames >= *command_.frames) return ExitCode::kOk;
      next_sample = absl::Now() + command_.interval;
      auto sample = TakeSample(invocation_.calls, command_.pool);
      trouble = sample.ok() ? "" : std::string(sample.status().message());
      if (sample.ok()) samples_.Add(*std::move(sample));
    }
  }

  // What the program that runs for long ended with; printed when the screen is given back.
  const absl::Status& error() const { return error_; }

 private:
  TopFrame Render(LiveView* live, const std::string& trouble, const ScreenSize& size) {
    const LiveView::Locked locked(live);
    const TopInput input{samples_.before(), samples_.now(), locked.view(), command_.pool,
                         locked.trouble().empty() ? trouble : locked.trouble()};
    return RenderTop(input, settings_, size, invocation_.streams.out_colour);
  }

  ExitCode Fail(const absl::Status& status) {
    error_ = status;
    return ExitCodeFor(status);
  }

  ExitCode ExitAtEnd(LiveView* live) {
    const absl::Status end = LiveView::Locked(live).end();
    return absl::IsCancelled(end) ? ExitCode::kInterrupted : Fail(end);
  }

  const Invocation& invocation_;
  const TopCommand& command_;
  TopSettings settings_;
  Samples samples_;
  absl::Status error_;
};

}  // namespace

ExitCode RunCommand(const Invocation& invocation, const TopCommand& command) {
  const Output output = invocation.arguments.global.output;
  const Streams& streams = invocation.streams;
  std::vector<std::string> pools;
  if (!command.pool.empty()) pools.push_back(command.pool);
  absl::Notification end;
  std::mutex screen_mutex;
  Screen* screen_to_wake = nullptr;
  const auto wake_at_end = [&](Screen* screen) {
    std::lock_guard lock(screen_mutex);
    screen_to_wake = screen;
  };
  LiveView live(
      FollowRequest({pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_BACKEND}, pools, pb::VIEW_FULL),
      FollowOptions(invocation), [&] {
        end.Notify();
        if (Screen* screen = screen_to_wake; screen != nullptr) screen->Wake();
      });
  const Interrupt::Listener listener(streams.interrupt, [&live] { live.Cancel(); });
  Top top(invocation, command);
  if (const absl::Status status = top.Begin(&live); !status.ok()) {
    if (absl::IsCancelled(status)) return ExitCode::kInterrupted;
    return PrintError(status, output, streams);
  }
  ExitCode exit_code = ExitCode::kOk;
  if (command.is_batch || !streams.terminal) {
    exit_code = top.RunBatch(&live, end);
  } else {
    Screen screen(*streams.terminal);
    wake_at_end(&screen);
    exit_code = top.RunScreen(&live, &screen, end);
    wake_at_end(nullptr);
  }
  if (!top.error().ok()) return PrintError(top.error(), output, streams);
  return exit_code;
}

}  // namespace sidelb::client
