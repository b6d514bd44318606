#include "dataplane/base/latency_histogram.h"

#include <gtest/gtest.h>

namespace sidelb {
namespace {

using std::chrono::microseconds;

LatencyCounts CountsOf(const LatencyHistogram& histogram) {
  LatencyCounts counts;
  counts.Add(histogram);
  return counts;
}

TEST(LatencyHistogramTest, NothingRecordedHasNoPercentile) {
  EXPECT_FALSE(CountsOf(LatencyHistogram()).Percentile(0.5).has_value());
}

TEST(LatencyHistogramTest, EveryLatencyIsFoundToWithinItsBucket) {
  for (uint64_t us = 1; us < 8'000'000; us += us / 3 + 1) {
    LatencyHistogram histogram;
    histogram.Record(us);
    for (double fraction : {0.01, 0.5, 1.0}) {
      const auto found = static_cast<double>(CountsOf(histogram).Percentile(fraction)->count());
      if (us < 16) {
        EXPECT_LE(found, 16) << us;
      } else {
        EXPECT_GT(found, static_cast<double>(us) * 0.66) << us;
        EXPECT_LE(found, static_cast<double>(us) * 1.51) << us;
      }
    }
  }
}

TEST(LatencyHistogramTest, PercentilesTellTheManyFromTheFew) {
  LatencyHistogram histogram;
  for (int i = 0; i < 970; ++i) histogram.Record(200);
  for (int i = 0; i < 30; ++i) histogram.Record(1'000'000);
  const LatencyCounts counts = CountsOf(histogram);
  EXPECT_NEAR(static_cast<double>(counts.Percentile(0.5)->count()), 200, 60);
  EXPECT_NEAR(static_cast<double>(counts.Percentile(0.99)->count()), 1'000'000, 300'000);
}

TEST(LatencyHistogramTest, WhatIsLongerThanTheScaleStandsAtItsEnd) {
  LatencyHistogram histogram;
  histogram.Record(60'000'000);
  histogram.Record(UINT64_MAX);
  EXPECT_EQ(CountsOf(histogram).Percentile(0.99), microseconds(8'388'608));
}

TEST(LatencyHistogramTest, SumsAreThoseOfAllThatWereAdded) {
  LatencyHistogram fast, slow;
  for (int i = 0; i < 9; ++i) fast.Record(100);
  slow.Record(100'000);
  LatencyCounts sum = CountsOf(fast);
  sum += CountsOf(slow);
  EXPECT_LT(*sum.Percentile(0.5), microseconds(150));
  EXPECT_GT(*sum.Percentile(0.99), microseconds(60'000));
}

}  // namespace
}  // namespace sidelb
