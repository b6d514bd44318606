// EventLoop: one thread with one io_context, a Poller nested in it, and a TimerWheel driven by one
// system timer. A shard has one, the health checker has one.
//
// Thread safety: Start(), Stop() and the destructor by the owner; Post() by any thread; the rest by
// the loop's own thread.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "dataplane/net/poller.h"
#include "dataplane/net/timer_wheel.h"

namespace sidelb {

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();  // REQUIRES: stopped, or never started
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // `function` runs after each batch of events and each posted function. Before Start().
  void SetAfterBatch(std::function<void()> function) { after_batch_ = std::move(function); }
  // Starts the thread under `name` (at most 15 characters). RESOURCE_EXHAUSTED without descriptors.
  absl::Status Start(const std::string& name);
  bool is_running() const { return thread_.joinable(); }

  // Runs `function` on the loop's thread. What is posted after Stop() never runs.
  template <typename Function>
  void Post(Function function) {
    boost::asio::post(io_, [this, function = std::move(function)]() mutable {
      ReadClock();
      function();
      OnBatchEnd();
    });
  }

  // Runs `last` on the loop's thread, ends the loop and joins the thread.
  template <typename Function>
  void Stop(Function last) {
    if (!thread_.joinable()) return;
    boost::asio::post(io_, [this, last = std::move(last)]() mutable {
      ReadClock();
      last();
      End();
    });
    thread_.join();
  }

  Poller& poller() { return poller_; }
  TimerWheel& timers() { return timers_; }
  // Of the present batch, steady clock.
  const uint64_t& now_ms() const { return now_ms_; }

 private:
  void ReadClock();
  void OnBatchEnd();
  void MoveTimer();
  void ArmTimer(uint64_t deadline_ms);
  void OnSystemTimer();
  void End();

  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  uint64_t now_ms_;
  Poller poller_;
  TimerWheel timers_;
  boost::asio::steady_timer system_timer_;
  uint64_t armed_ms_ = UINT64_MAX;
  std::function<void()> after_batch_;
  std::thread thread_;
};

}  // namespace sidelb
