#include "server/log_queue.h"

#include <pthread.h>

#include <exception>
#include <string>
#include <utility>

namespace sidelb::server {
namespace {

class QueuedSink final : public spdlog::sinks::sink {
 public:
  QueuedSink(std::shared_ptr<LogQueue> queue, std::shared_ptr<spdlog::sinks::sink> target)
      : queue_(std::move(queue)), target_(std::move(target)) {}

  void log(const spdlog::details::log_msg& message) override { queue_->Push(target_, message); }
  void flush() override {}  // a line is written as soon as the ones before it
  void set_pattern(const std::string& pattern) override { target_->set_pattern(pattern); }
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    target_->set_formatter(std::move(formatter));
  }

 private:
  const std::shared_ptr<LogQueue> queue_;
  const std::shared_ptr<spdlog::sinks::sink> target_;
};

}  // namespace

LogQueue::LogQueue(size_t most_lines) : most_lines_(most_lines) {
  writer_ = std::thread([this] { WriteLines(); });
  pthread_setname_np(writer_.native_handle(), "slb-log");
}

LogQueue::~LogQueue() { Stop(); }

void LogQueue::Push(std::shared_ptr<spdlog::sinks::sink> target,
                    const spdlog::details::log_msg& message) {
  Line line{std::move(target), spdlog::details::log_msg_buffer(message)};
  {
    const std::lock_guard lock(mutex_);
    if (is_stopped_) return;
    if (lines_.size() == most_lines_) lines_.pop_front();
    lines_.push_back(std::move(line));
  }
  changed_.notify_one();
}

void LogQueue::Stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_one();
  if (writer_.joinable()) writer_.join();
}

std::shared_ptr<spdlog::sinks::sink> LogQueue::MakeSink(
    std::shared_ptr<LogQueue> queue, std::shared_ptr<spdlog::sinks::sink> target) {
  return std::make_shared<QueuedSink>(std::move(queue), std::move(target));
}

void LogQueue::WriteLines() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_stopped_ || !lines_.empty(); });
    if (lines_.empty()) return;
    const Line line = std::move(lines_.front());
    lines_.pop_front();
    lock.unlock();
    try {
      line.target->log(line.message);
    } catch (const std::exception&) {
      // stderr takes nothing: there is nowhere to say so.
    }
    lock.lock();
  }
}

}  // namespace sidelb::server
