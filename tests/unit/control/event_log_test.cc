// The event log: positions, what is kept, what is read.
#include "server/control/event_log.h"

#include <gtest/gtest.h>

#include "tests/unit/control/event_support.h"

namespace sidelb::control {
namespace {

// A change of one backend, `events` times in one batch.
EventBatch Batch(size_t events, uint64_t revision = 1) {
  EventBatch batch{.revision = revision};
  const auto object = BackendAt("10.0.0.1:80", revision);
  for (size_t i = 0; i < events; ++i) batch.events.push_back(Became(object, object));
  return batch;
}

TEST(EventLogTest, PositionsBeginAtOneAndHaveNoGaps) {
  EventLog log;
  EXPECT_EQ(log.head(), 0u);
  EXPECT_EQ(log.oldest(), 0u);
  log.Append(Batch(2), 1);
  log.Append(Batch(3), 1);
  EXPECT_EQ(log.head(), 5u);
  const auto batches = log.Read(0, 100);
  ASSERT_TRUE(batches);
  ASSERT_EQ(batches->size(), 2u);
  EXPECT_EQ((*batches)[0]->events.front().position, 1u);
  EXPECT_EQ((*batches)[1]->events.front().position, 3u);
  EXPECT_EQ((*batches)[1]->last_position(), 5u);
}

TEST(EventLogTest, ReadsFromAPositionWithinABatch) {
  EventLog log;
  log.Append(Batch(2), 1);
  log.Append(Batch(3), 1);
  EXPECT_EQ(log.Read(1, 100)->size(), 2u);
  EXPECT_EQ(log.Read(2, 100)->size(), 1u);
  EXPECT_EQ(log.Read(4, 100)->size(), 1u);
  EXPECT_TRUE(log.Read(5, 100)->empty());
  EXPECT_FALSE(log.Read(6, 100));
}

TEST(EventLogTest, ReadsABoundedNumberOfEventsButOneBatchAtLeast) {
  EventLog log;
  for (int i = 0; i < 4; ++i) log.Append(Batch(10), 1);
  EXPECT_EQ(log.Read(0, 1)->size(), 1u);
  EXPECT_EQ(log.Read(0, 29)->size(), 2u);
  EXPECT_EQ(log.Read(0, 40)->size(), 4u);
}

TEST(EventLogTest, ForgetsTheOldestBeyondItsSize) {
  EventLog log(/*max_bytes=*/20'000);
  for (int i = 0; i < 100; ++i) log.Append(Batch(1), /*object_count=*/1);
  EXPECT_LE(log.bytes(), 20'000u);
  EXPECT_GT(log.oldest(), 0u);
  EXPECT_EQ(log.head(), 100u);
  EXPECT_FALSE(log.Read(log.oldest() - 1, 1'000));
  const auto kept = log.Read(log.oldest(), 1'000);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->front()->events.front().position, log.oldest() + 1);
  EXPECT_EQ(kept->back()->last_position(), 100u);
}

// A change of everything must not throw out a watch that keeps up.
TEST(EventLogTest, KeepsTwiceAsManyEventsAsThereAreObjects) {
  EventLog log(/*max_bytes=*/1'000);
  for (int i = 0; i < 10; ++i) log.Append(Batch(50), /*object_count=*/60);
  EXPECT_EQ(log.head() - log.oldest(), 150u);  // whole batches, at least 120
}

TEST(EventLogTest, TellsItsObserverAfterEachBatch) {
  EventLog log;
  uint64_t seen = 0;
  log.SetObserver([&] { seen = log.head(); });
  log.Append(Batch(3), 1);
  EXPECT_EQ(seen, 3u);
  log.SetObserver(nullptr);
  log.Append(Batch(3), 1);
  EXPECT_EQ(seen, 3u);
}

}  // namespace
}  // namespace sidelb::control
