#include "dataplane/net/event_loop.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include "dataplane/base/status.h"

namespace sidelb {
namespace {

constexpr int kPostedPerTurn = 1024;

// The clock of the timerfd, CLOCK_MONOTONIC.
uint64_t SteadyMs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

EventLoop::EventLoop()
    : work_(boost::asio::make_work_guard(io_)),
      now_ms_(SteadyMs()),
      timers_(now_ms_),
      posted_([this] { has_posted_ = true; }),
      system_timer_([this] { has_due_timers_ = true; }) {}

EventLoop::~EventLoop() = default;

absl::Status EventLoop::Start(const std::string& name) {
  if (absl::Status status = poller_.Start(); !status.ok()) return status;
  posted_.fd.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  system_timer_.fd.Reset(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  for (Signal* signal : {&posted_, &system_timer_}) {
    if (!signal->fd.is_open()) return ErrnoToStatus(errno, "cannot create an eventfd or timerfd");
    if (const int error = poller_.Add(signal->fd.get(), signal, 0, kWatchReads); error != 0) {
      return ErrnoToStatus(error, "cannot watch an eventfd or timerfd");
    }
  }
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error& error) {
    return ErrnoToStatus(error.code().value(), "cannot start thread " + name);
  }
  pthread_setname_np(thread_.native_handle(), name.c_str());
  return absl::OkStatus();
}

void EventLoop::Run() {
  while (!is_ended_) {
    poller_.Turn([this] { ReadClock(); });
    if (std::exchange(has_due_timers_, false)) OnSystemTimer();
    if (std::exchange(has_posted_, false)) RunPosted();
    EndTurn();
  }
  poller_.Stop();
}

void EventLoop::Wake() {
  if (is_woken_.exchange(true, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  // It cannot fail: the counter would have to be full.
  [[maybe_unused]] const ssize_t written = write(posted_.fd.get(), &one, sizeof(one));
}

void EventLoop::RunPosted() {
  // What is posted from here on is told of anew.
  is_woken_.exchange(false, std::memory_order_acq_rel);
  for (int i = 0; i < kPostedPerTurn && !is_ended_; ++i) {
    if (io_.poll_one() == 0) return;
  }
  Wake();
}

void EventLoop::ReadClock() { now_ms_ = SteadyMs(); }

void EventLoop::EndTurn() {
  if (after_turn_) after_turn_();
  const uint64_t earliest = timers_.TakeEarliestNewMs();
  if (earliest < armed_ms_) ArmTimer(earliest);
}

void EventLoop::ArmTimer(uint64_t deadline_ms) {
  armed_ms_ = deadline_ms;
  itimerspec when{};
  // All zeros would disarm it.
  when.it_value.tv_sec = static_cast<time_t>(deadline_ms / 1000);
  when.it_value.tv_nsec = static_cast<long>(deadline_ms % 1000 * 1'000'000) + 1;
  timerfd_settime(system_timer_.fd.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void EventLoop::OnSystemTimer() {
  armed_ms_ = UINT64_MAX;
  timers_.Advance(now_ms_);
  timers_.TakeEarliestNewMs();
  if (const std::optional<uint64_t> next = timers_.NextWakeMs()) ArmTimer(*next);
}

}  // namespace sidelb
