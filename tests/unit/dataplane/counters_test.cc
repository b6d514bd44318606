// Peaks, and what pools, backends and listeners count of their sessions.
#include "dataplane/base/counters.h"

#include <gtest/gtest.h>

#include "dataplane/net/listener_settings.h"
#include "dataplane/pool/backend.h"
#include "dataplane/pool/pool_load.h"
#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

TEST(CountersTest, APeakStaysUntilItIsReset) {
  Peak peak;
  peak.Raise(3);
  peak.Raise(2);
  EXPECT_EQ(peak.value(), 3u);
  peak.Reset(1);
  EXPECT_EQ(peak.value(), 1u);
  peak.Raise(2);
  EXPECT_EQ(peak.value(), 2u);
}

TEST(CountersTest, APoolsPeakIsThatOfAllShardsTogether) {
  PoolLoad pool(2);
  pool.CountPick(0);
  pool.CountLeave(0);
  pool.CountPick(1);
  EXPECT_EQ(pool.active(), 1u);
  EXPECT_EQ(pool.counters[0].peak_active.value(), 1u);
  EXPECT_EQ(pool.counters[1].peak_active.value(), 1u) << "one after the other is not two";

  pool.CountPick(0);
  EXPECT_EQ(pool.counters[0].peak_active.value(), 2u);
  pool.CountLeave(1);
  pool.ResetPeak();
  EXPECT_EQ(pool.counters[0].peak_active.value(), 1u);
}

TEST(CountersTest, ABackendsPeakBeginsAnewAtThePresentCount) {
  Backend backend(testing::AddressOf(1), 2);
  backend.ResetPeak();  // no shard has used it
  backend.load.active = 5;
  backend.Shard(1)->counters.CountPick(5);
  backend.load.active = 2;
  backend.ResetPeak();
  EXPECT_EQ(backend.Shard(1)->counters.peak_active.value(), 2u);
  EXPECT_EQ(backend.Shard(1)->counters.selected.value(), 1u);
}

TEST(CountersTest, AListenersPeakBeginsAnewAtThePresentCount) {
  ListenerLoad load(2);
  load.counters[0].peak_active.Raise(9);
  load.active = 4;
  load.ResetPeak();
  EXPECT_EQ(load.counters[0].peak_active.value(), 4u);
  EXPECT_EQ(load.counters[1].peak_active.value(), 4u);
}

}  // namespace
}  // namespace sidelb
