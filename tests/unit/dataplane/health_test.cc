#include <gtest/gtest.h>

#include "dataplane/health/hysteresis.h"
#include "dataplane/health/outlier_detector.h"

namespace sidelb {
namespace {

TEST(HysteresisTest, TheFirstResultDecides) {
  Hysteresis good, bad;
  EXPECT_EQ(good.health(), Health::kUnknown);
  EXPECT_TRUE(good.Record(true, 2, 3));
  EXPECT_EQ(good.health(), Health::kHealthy);
  EXPECT_TRUE(bad.Record(false, 2, 3));
  EXPECT_EQ(bad.health(), Health::kUnhealthy);
  EXPECT_EQ(good.transitions(), 0u);
}

TEST(HysteresisTest, FallThenRise) {
  Hysteresis history;
  history.Record(true, 2, 3);
  EXPECT_FALSE(history.Record(false, 2, 3));
  EXPECT_FALSE(history.Record(false, 2, 3));
  EXPECT_TRUE(history.Record(false, 2, 3));
  EXPECT_EQ(history.health(), Health::kUnhealthy);
  EXPECT_EQ(history.consecutive_bad(), 3u);
  EXPECT_FALSE(history.Record(true, 2, 3));
  EXPECT_TRUE(history.Record(true, 2, 3));
  EXPECT_EQ(history.health(), Health::kHealthy);
  EXPECT_EQ(history.transitions(), 2u);
}

TEST(HysteresisTest, AGoodResultBetweenStartsTheCountAnew) {
  Hysteresis history;
  history.Record(true, 2, 3);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(history.Record(false, 2, 3));
    EXPECT_FALSE(history.Record(false, 2, 3));
    EXPECT_FALSE(history.Record(true, 2, 3));
  }
  EXPECT_EQ(history.health(), Health::kHealthy);
}

using Pool = std::vector<OutlierDetector::Seen>;

TEST(OutlierDetectorTest, EjectsAfterFiveFailuresForTenSeconds) {
  OutlierDetector detector;
  Pool pool = {{1, 0}, {2, 4}, {3, 0}, {4, 0}};
  EXPECT_FALSE(detector.Update({}, pool, 1'000));
  pool[1].consecutive_failures = 5;
  EXPECT_TRUE(detector.Update({}, pool, 1'100));
  EXPECT_TRUE(detector.is_ejected(2));
  EXPECT_EQ(detector.EjectedUntilMs(2), 11'100u);
  EXPECT_EQ(detector.NextDueMs(), 11'100u);
  EXPECT_FALSE(detector.Update({}, pool, 11'099));
  EXPECT_TRUE(detector.Update({}, pool, 11'100));
  EXPECT_FALSE(detector.is_ejected(2));
}

TEST(OutlierDetectorTest, OnProbationOneMoreFailureEjectsForLonger) {
  OutlierDetector detector;
  Pool pool = {{1, 0}, {2, 5}, {3, 0}, {4, 0}};
  uint64_t now = 0;
  detector.Update({}, pool, now);
  for (uint64_t n = 1; n <= 40; ++n) {
    const uint64_t expected = std::min<uint64_t>(n * 10'000, 300'000);
    ASSERT_EQ(detector.EjectedUntilMs(2), now + expected) << n;
    now += expected;
    ASSERT_TRUE(detector.Update({}, pool, now));
    ASSERT_FALSE(detector.is_ejected(2));
    ++pool[1].consecutive_failures;
    ASSERT_TRUE(detector.Update({}, pool, now));
  }
}

// Connects that were under way when it was ejected fail while it is.
TEST(OutlierDetectorTest, WhatFailsDuringAnEjectionDoesNotCountAfterIt) {
  OutlierDetector detector;
  Pool pool = {{1, 0}, {2, 5}, {3, 0}, {4, 0}};
  EXPECT_TRUE(detector.Update({}, pool, 0));
  pool[1].consecutive_failures = 8;
  EXPECT_FALSE(detector.Update({}, pool, 5'000));
  pool[1].consecutive_failures = 9;
  EXPECT_TRUE(detector.Update({}, pool, 10'000));
  EXPECT_FALSE(detector.is_ejected(2));
  EXPECT_FALSE(detector.Update({}, pool, 10'100));
  EXPECT_FALSE(detector.is_ejected(2));
}
TEST(OutlierDetectorTest, ASuccessForgives) {
  OutlierDetector detector;
  Pool pool = {{1, 0}, {2, 5}, {3, 0}, {4, 0}};
  detector.Update({}, pool, 0);
  detector.Update({}, pool, 10'000);
  pool[1].consecutive_failures = 0;
  EXPECT_FALSE(detector.Update({}, pool, 10'100));
  pool[1].consecutive_failures = 4;
  EXPECT_FALSE(detector.Update({}, pool, 10'200));
  pool[1].consecutive_failures = 5;
  EXPECT_TRUE(detector.Update({}, pool, 10'300));
  EXPECT_EQ(detector.EjectedUntilMs(2), 20'300u);
}

TEST(OutlierDetectorTest, NeverMoreThanHalfAndNeverTheLast) {
  OutlierDetector detector;
  Pool pool = {{1, 9}, {2, 9}, {3, 9}, {4, 9}, {5, 9}};
  EXPECT_TRUE(detector.Update({}, pool, 0));
  int ejected = 0;
  for (const auto& seen : pool) ejected += detector.is_ejected(seen.id) ? 1 : 0;
  EXPECT_EQ(ejected, 2);

  OutlierDetector single;
  EXPECT_FALSE(single.Update({.max_ejected_percent = 100}, Pool{{1, 9}}, 0));
  OutlierDetector pair;
  EXPECT_TRUE(pair.Update({.max_ejected_percent = 100}, Pool{{1, 9}, {2, 9}}, 0));
  EXPECT_NE(pair.is_ejected(1), pair.is_ejected(2));
}

TEST(OutlierDetectorTest, OffMeansNothingIsEjected) {
  OutlierDetector detector;
  Pool pool = {{1, 100}, {2, 0}, {3, 0}};
  EXPECT_FALSE(detector.Update({.failures = 0}, pool, 0));
  EXPECT_TRUE(detector.Update({}, pool, 0));
  EXPECT_TRUE(detector.Update({.failures = 0}, pool, 1)) << "switching it off takes back";
  EXPECT_FALSE(detector.is_ejected(1));
}

TEST(OutlierDetectorTest, ABackendThatLeftIsForgotten) {
  OutlierDetector detector;
  Pool pool = {{1, 100}, {2, 0}, {3, 0}};
  EXPECT_TRUE(detector.Update({}, pool, 0));
  EXPECT_TRUE(detector.Update({}, Pool{{2, 0}, {3, 0}}, 1));
  EXPECT_FALSE(detector.is_ejected(1));
  EXPECT_FALSE(detector.NextDueMs().has_value());
}

TEST(OutlierDetectorTest, AGroupIsEjectedAsAWholeAndCountsForAllOfIt) {
  const OutlierDetector::Seen group{.id = 1, .consecutive_failures = 5, .backends = 3};
  OutlierDetector detector;
  EXPECT_FALSE(detector.Update({}, Pool{group, {2, 0}, {3, 0}}, 0)) << "3 of 5 are over half";
  EXPECT_TRUE(detector.Update({}, Pool{group, {2, 0}, {3, 0}, {4, 0}}, 0));
  EXPECT_TRUE(detector.is_ejected(1));
  OutlierDetector alone;
  EXPECT_FALSE(alone.Update({.max_ejected_percent = 100}, Pool{group}, 0));
}

TEST(HysteresisTest, WhatIsKnownFromElsewhereNeedsARowToChange) {
  Hysteresis healthy(Health::kHealthy);
  EXPECT_FALSE(healthy.Record(false, 2, 3));
  EXPECT_FALSE(healthy.Record(false, 2, 3));
  EXPECT_TRUE(healthy.Record(false, 2, 3));
  Hysteresis unhealthy(Health::kUnhealthy);
  EXPECT_FALSE(unhealthy.Record(true, 2, 3));
  EXPECT_TRUE(unhealthy.Record(true, 2, 3));
}

}  // namespace
}  // namespace sidelb
