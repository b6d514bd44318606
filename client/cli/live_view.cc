#include "client/cli/live_view.h"

#include <utility>

namespace sidelb::client {
namespace {

Follower::Options WithMutex(Follower::Options options, std::mutex* mutex) {
  options.view_mutex = mutex;
  return options;
}

}  // namespace

LiveView::LiveView(pb::WatchRequest request, Follower::Options options,
                   std::function<void()> on_end)
    : on_end_(std::move(on_end)),
      follower_(std::move(request), WithMutex(std::move(options), &mutex_)),
      thread_([this] { Run(); }) {}

LiveView::~LiveView() {
  follower_.Cancel();
  thread_.join();
}

void LiveView::Run() {
  while (true) {
    const Follower::Step step = follower_.Next(absl::InfiniteFuture());
    const bool is_end =
        step.kind == Follower::Step::Kind::kFailed || step.kind == Follower::Step::Kind::kCancelled;
    {
      std::lock_guard lock(mutex_);
      if (is_end) end_ = step.status.ok() ? absl::CancelledError("") : step.status;
      trouble_ = std::string(step.status.message());
    }
    changed_.notify_all();
    if (is_end) return on_end_();
  }
}

absl::Status LiveView::WaitUntilComplete(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  const bool is_done = changed_.wait_until(lock, absl::ToChronoTime(deadline), [this] {
    return follower_.view().is_complete() || !end_.ok();
  });
  if (!is_done) return absl::DeadlineExceededError("no answer to Watch came in time");
  return end_;
}

}  // namespace sidelb::client
