// The queue of the log, before a sink that the test holds up.
#include "server/log_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "spdlog/logger.h"

namespace sidelb::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::chrono::seconds kLimit{30};

// Keeps the lines it gets; the first waits until Release().
class HeldSink final : public spdlog::sinks::sink {
 public:
  void log(const spdlog::details::log_msg& message) override {
    lines_.emplace_back(message.payload.data(), message.payload.size());
    if (lines_.size() > 1) return;
    reached_.set_value();
    released_.get_future().wait();
  }
  void flush() override {}
  void set_pattern(const std::string& /*pattern*/) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter> /*formatter*/) override {}

  // Whether the first line has come, which is in the queue no more.
  bool IsReached() { return reached_.get_future().wait_for(kLimit) == std::future_status::ready; }
  void Release() { released_.set_value(); }
  // REQUIRES: the queue is stopped.
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::promise<void> reached_;
  std::promise<void> released_;
  std::vector<std::string> lines_;
};

struct QueuedLogger {
  explicit QueuedLogger(size_t most_lines) : queue(std::make_shared<LogQueue>(most_lines)) {}

  std::shared_ptr<LogQueue> queue;
  std::shared_ptr<HeldSink> sink = std::make_shared<HeldSink>();
  spdlog::logger logger{"test", LogQueue::MakeSink(queue, sink)};
};

TEST(LogQueueTest, WhoLogsDoesNotWaitAndAllIsWrittenInOrder) {
  QueuedLogger test(8);
  test.logger.info("first");
  ASSERT_TRUE(test.sink->IsReached());
  test.logger.info("{} more", 1);
  test.logger.info("{} more", 2);
  test.sink->Release();
  test.queue->Stop();
  EXPECT_THAT(test.sink->lines(), ElementsAre("first", "1 more", "2 more"));
}

TEST(LogQueueTest, AFullQueueDropsItsOldestLines) {
  QueuedLogger test(3);
  test.logger.info("first");
  ASSERT_TRUE(test.sink->IsReached());
  for (int i = 1; i <= 10; ++i) test.logger.info("{}", i);
  test.sink->Release();
  test.queue->Stop();
  EXPECT_THAT(test.sink->lines(), ElementsAre("first", "8", "9", "10"));
}

TEST(LogQueueTest, WhatComesAfterStopIsDropped) {
  QueuedLogger test(3);
  test.queue->Stop();
  test.logger.info("late");
  test.queue->Stop();
  EXPECT_THAT(test.sink->lines(), IsEmpty());
}

TEST(LogQueueTest, TheQueueWritesWhatItsSinkHasLeft) {
  auto sink = std::make_shared<HeldSink>();
  auto queue = std::make_shared<LogQueue>(3);
  {
    spdlog::logger logger("test", LogQueue::MakeSink(queue, sink));
    logger.info("first");
    ASSERT_TRUE(sink->IsReached());
    logger.info("second");
  }
  sink->Release();
  queue.reset();
  EXPECT_THAT(sink->lines(), ElementsAre("first", "second"));
}

}  // namespace
}  // namespace sidelb::server
