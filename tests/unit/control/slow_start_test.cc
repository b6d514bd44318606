#include "server/control/slow_start.h"

#include <gtest/gtest.h>

namespace sidelb::control {
namespace {

constexpr absl::Duration kMinute = absl::Minutes(1);

TEST(SlowStartTest, TheWeightGrowsInTwentySteps) {
  EXPECT_EQ(RampedWeight(100, absl::ZeroDuration(), kMinute), 5u);
  EXPECT_EQ(RampedWeight(100, absl::Milliseconds(2'999), kMinute), 5u);
  EXPECT_EQ(RampedWeight(100, absl::Seconds(3), kMinute), 10u);
  EXPECT_EQ(RampedWeight(100, absl::Seconds(30), kMinute), 55u);
  EXPECT_EQ(RampedWeight(100, absl::Seconds(59), kMinute), 100u);
  EXPECT_EQ(RampedWeight(100, kMinute, kMinute), 100u);
}

TEST(SlowStartTest, ItNeverShrinksNorLeavesTheBounds) {
  for (uint32_t weight : {1u, 3u, 19u, 20u, 100u, 65'535u}) {
    uint32_t before = 0;
    for (int ms = 0; ms <= 61'000; ms += 250) {
      const uint32_t now = RampedWeight(weight, absl::Milliseconds(ms), kMinute);
      EXPECT_GE(now, std::max(before, 1u));
      EXPECT_LE(now, weight);
      before = now;
    }
    EXPECT_EQ(before, weight);
  }
}

TEST(SlowStartTest, ZeroStaysZeroAndOffIsOff) {
  EXPECT_EQ(RampedWeight(0, absl::ZeroDuration(), kMinute), 0u);
  EXPECT_EQ(RampedWeight(100, absl::ZeroDuration(), absl::ZeroDuration()), 100u);
  EXPECT_EQ(TimeToNextStep(absl::ZeroDuration(), absl::ZeroDuration()), absl::InfiniteDuration());
}

TEST(SlowStartTest, TheNextStepIsWhenTheWeightGrows) {
  for (absl::Duration age = absl::ZeroDuration(); age < kMinute;) {
    const absl::Duration next = TimeToNextStep(age, kMinute);
    ASSERT_GT(next, absl::ZeroDuration());
    if (age + next >= kMinute) break;
    EXPECT_EQ(RampedWeight(100, age + next, kMinute), RampedWeight(100, age, kMinute) + 5);
    age += next;
  }
  EXPECT_EQ(TimeToNextStep(kMinute, kMinute), absl::InfiniteDuration());
}

TEST(SlowStartTest, SmallWeightsAreScaledToHaveSteps) {
  EXPECT_EQ(RampScale(1), 20u);
  EXPECT_EQ(RampScale(7), 3u);
  EXPECT_EQ(RampScale(20), 1u);
  EXPECT_EQ(RampScale(0), 1u);
}

}  // namespace
}  // namespace sidelb::control
