// EventLoop: one thread with a Poller, a TimerWheel driven by one timerfd, and a queue of functions
// that other threads post. A shard has one, the health checker has one.
//
// One epoll set is all that the thread waits on, and one epoll_wait all that a wake-up costs
// (docs/decisions/0015-one-epoll-set.md). Asio keeps the queue: an io_context without I/O objects,
// of which an eventfd in the set tells.
//
// Thread safety: Start(), Stop() and the destructor by the owner; Post() by any thread; the rest by
// the loop's own thread.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "dataplane/base/unique_fd.h"
#include "dataplane/net/poller.h"
#include "dataplane/net/timer_wheel.h"

namespace sidelb {

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();  // REQUIRES: stopped, or never started
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Posted functions and timers run after the events of a turn, never among them: they may replace
  // a descriptor of which an event has been read already.
  //
  // `function` runs at the end of each turn that served anything. Before Start().
  void SetAfterTurn(std::function<void()> function) { after_turn_ = std::move(function); }
  // Starts the thread under `name` (at most 15 characters). RESOURCE_EXHAUSTED without descriptors.
  absl::Status Start(const std::string& name);
  bool is_running() const { return thread_.joinable(); }

  // Runs `function` on the loop's thread. What is posted after Stop() never runs.
  template <typename Function>
  void Post(Function function) {
    boost::asio::post(io_, std::move(function));
    Wake();
  }

  // Runs `last` on the loop's thread, ends the loop and joins the thread.
  template <typename Function>
  void Stop(Function last) {
    if (!thread_.joinable()) return;
    Post([this, last = std::move(last)]() mutable {
      last();
      is_ended_ = true;
    });
    thread_.join();
  }

  Poller& poller() { return poller_; }
  TimerWheel& timers() { return timers_; }
  // Of the present turn, steady clock.
  const uint64_t& now_ms() const { return now_ms_; }

 private:
  // What a descriptor of the loop's own leads to.
  struct Signal final : PollTarget {
    explicit Signal(std::function<void()> function) : on_signal(std::move(function)) {}
    void OnEvents(uint32_t, unsigned) override { on_signal(); }
    void OnContinue() override {}
    std::function<void()> on_signal;
    UniqueFd fd;
  };

  void Run();
  void Wake();
  void RunPosted();
  void ReadClock();
  void EndTurn();
  void ArmTimer(uint64_t deadline_ms);
  void OnSystemTimer();

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  uint64_t now_ms_;
  Poller poller_;
  TimerWheel timers_;
  Signal posted_;        // an eventfd, edge-triggered and never read
  Signal system_timer_;  // a timerfd, likewise
  uint64_t armed_ms_ = UINT64_MAX;
  std::atomic<bool> is_woken_ = false;  // posted_ tells already of what is in io_
  bool has_posted_ = false;             // this turn told so
  bool has_due_timers_ = false;         // likewise
  bool is_ended_ = false;
  std::function<void()> after_turn_;
  std::thread thread_;
};

}  // namespace sidelb
