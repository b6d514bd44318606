// LogQueue: lines of the log on their way to a sink. A thread of its own, "slb-log", writes them,
// so that nobody who logs waits for the sink; when it does not keep up, the oldest are dropped.
//
// spdlog's own queue makes room for all of its lines at the start and keeps it: 3.4 MB for 8 192.
// This one has memory for what waits in it.
//
// Thread safety: Push() and the sinks of MakeSink() by any thread; Stop() by the owner.
// Ownership: sinks keep their queue; the queue keeps the targets of what waits.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "spdlog/details/log_msg_buffer.h"
#include "spdlog/sinks/sink.h"

namespace sidelb::server {

class LogQueue {
 public:
  explicit LogQueue(size_t most_lines);
  ~LogQueue();  // Stop()
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  // Never blocks. The oldest line is dropped when the queue is full, this one after Stop().
  void Push(std::shared_ptr<spdlog::sinks::sink> target, const spdlog::details::log_msg& message);
  // Returns when all that waits is written. Idempotent.
  void Stop();

  // A sink that pushes what it gets, for `target`. Format and pattern are the target's.
  static std::shared_ptr<spdlog::sinks::sink> MakeSink(std::shared_ptr<LogQueue> queue,
                                                       std::shared_ptr<spdlog::sinks::sink> target);

 private:
  struct Line {
    std::shared_ptr<spdlog::sinks::sink> target;
    spdlog::details::log_msg_buffer message;
  };

  void WriteLines();

  const size_t most_lines_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Line> lines_;   // guarded by mutex_
  bool is_stopped_ = false;  // guarded by mutex_
  std::thread writer_;
};

}  // namespace sidelb::server
