#include "dataplane/net/event_loop.h"

#include <pthread.h>

#include <chrono>
#include <optional>
#include <system_error>

#include "dataplane/base/status.h"

namespace sidelb {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t SteadyMs() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch())
          .count());
}

}  // namespace

EventLoop::EventLoop()
    : work_(boost::asio::make_work_guard(io_)),
      now_ms_(SteadyMs()),
      poller_(
          io_, [this] { ReadClock(); }, [this] { OnBatchEnd(); }),
      timers_(now_ms_),
      system_timer_(io_) {}

EventLoop::~EventLoop() = default;

absl::Status EventLoop::Start(const std::string& name) {
  if (absl::Status status = poller_.Start(); !status.ok()) return status;
  try {
    thread_ = std::thread([this] { io_.run(); });
  } catch (const std::system_error& error) {
    return ErrnoToStatus(error.code().value(), "cannot start thread " + name);
  }
  pthread_setname_np(thread_.native_handle(), name.c_str());
  return absl::OkStatus();
}

void EventLoop::End() {
  system_timer_.cancel();
  poller_.Stop();
  work_.reset();
}

void EventLoop::ReadClock() { now_ms_ = SteadyMs(); }

void EventLoop::OnBatchEnd() {
  if (after_batch_) after_batch_();
  MoveTimer();
}

void EventLoop::MoveTimer() {
  const uint64_t earliest = timers_.TakeEarliestNewMs();
  if (earliest < armed_ms_) ArmTimer(earliest);
}

void EventLoop::ArmTimer(uint64_t deadline_ms) {
  armed_ms_ = deadline_ms;
  system_timer_.expires_at(Clock::time_point(std::chrono::milliseconds(deadline_ms)));
  system_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) OnSystemTimer();
  });
}

void EventLoop::OnSystemTimer() {
  ReadClock();
  armed_ms_ = UINT64_MAX;
  timers_.Advance(now_ms_);
  if (after_batch_) after_batch_();
  timers_.TakeEarliestNewMs();
  if (const std::optional<uint64_t> next = timers_.NextWakeMs()) ArmTimer(*next);
}

}  // namespace sidelb
