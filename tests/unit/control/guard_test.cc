#include "server/control/guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

using Numbers = std::set<int>;

std::vector<Address> Addresses(const Numbers& numbers) {
  std::vector<Address> addresses;
  for (int n : numbers)
    addresses.push_back(
        At("10.0." + std::to_string(n / 250) + "." + std::to_string(n % 250 + 1) + ":80"));
  return addresses;
}

Numbers Range(int from, int to) {
  Numbers numbers;
  for (int n = from; n <= to; ++n) numbers.insert(n);
  return numbers;
}

Numbers Minus(const Numbers& a, const Numbers& b) {
  Numbers rest;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::inserter(rest, rest.end()));
  return rest;
}

// A pool of healthy backends that batches change.
class GuardTest : public ::testing::Test {
 protected:
  PoolLoss LossTo(const Numbers& next) const {
    return {.pool = "web",
            .lost = Addresses(Minus(serving_, next)),
            .guarded = Addresses(Minus(serving_, next)),
            .added = Addresses(Minus(next, serving_)),
            .eligible = Addresses(serving_),
            .enabled = Addresses(next)};
  }
  // Whether the owner may make the pool `next`; if so it becomes that, and the time goes on.
  bool Set(const Numbers& next, absl::Duration then = absl::ZeroDuration(),
           const std::string& owner = "api:a") {
    const PoolLoss loss = LossTo(next);
    if (!guard_.Check(owner, {loss}, now_).ok()) return false;
    guard_.Note(owner, {loss}, Guard::Consent::kNone, now_);
    serving_ = next;
    now_ += then;
    return true;
  }

  Guard guard_;
  Numbers serving_;
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
};

TEST_F(GuardTest, OneBatch) {
  struct Case {
    int before, stay, added;
    bool passes;
  };
  for (const Case& one :
       {Case{10, 5, 0, true}, Case{10, 4, 0, false}, Case{10, 4, 1, true}, Case{10, 0, 0, false},
        Case{10, 0, 5, true}, Case{10, 0, 4, false}, Case{2, 0, 0, true}, Case{3, 0, 0, false},
        Case{3, 1, 0, true}, Case{100, 50, 0, true}, Case{100, 49, 0, false}}) {
    guard_ = Guard();
    serving_ = Range(1, one.before);
    Numbers next = Range(1, one.stay);
    next.merge(Range(201, 200 + one.added));
    EXPECT_EQ(Set(next), one.passes) << one.before << " to " << one.stay << "+" << one.added;
  }
}

TEST_F(GuardTest, ManySmallRemovalsCountAsOne) {
  serving_ = Range(1, 10);
  int left = 10;
  while (Set(Range(1, left - 1), absl::Seconds(2))) --left;
  EXPECT_EQ(left, 5);
  now_ += Guard::kWindow;
  EXPECT_TRUE(Set(Range(1, 4))) << "what is long ago does not count";
}

TEST_F(GuardTest, AnotherOwnerHasAWindowOfItsOwn) {
  serving_ = Range(1, 10);
  ASSERT_TRUE(Set(Range(1, 5)));
  EXPECT_FALSE(Set(Range(1, 4)));
  EXPECT_TRUE(Set(Range(1, 4), absl::ZeroDuration(), "api:b"));
}

TEST_F(GuardTest, BlueGreenPassesInOneStepInTwoAndBack) {
  serving_ = Range(1, 10);
  Numbers both = Range(1, 10);
  both.merge(Range(101, 108));
  ASSERT_TRUE(Set(both, absl::Seconds(20)));
  ASSERT_TRUE(Set(Range(101, 108), absl::Seconds(20)));
  ASSERT_TRUE(Set(Range(1, 10), absl::Seconds(1)));
  EXPECT_FALSE(Set(Range(1, 2)));
}

TEST_F(GuardTest, WhatJustCameIsGuardedToo) {
  ASSERT_TRUE(Set(Range(1, 10), absl::Seconds(1)));
  EXPECT_FALSE(Set(Range(1, 2)));
  EXPECT_FALSE(Set({}));
  int left = 10;
  while (Set(Range(1, left - 1))) --left;
  EXPECT_EQ(left, 5) << "nor by small steps";
}

TEST_F(GuardTest, WhatComesBackIsNotLost) {
  serving_ = Range(1, 10);
  for (int round = 0; round < 30; ++round) {
    Numbers without = Range(1, 10);
    without.erase(round % 10 + 1);
    ASSERT_TRUE(Set(without)) << round;
    ASSERT_TRUE(Set(Range(1, 10), absl::Seconds(1))) << round;
  }
}

TEST_F(GuardTest, ASetThatIsReplacedOneByOnePasses) {
  ASSERT_TRUE(Set(Range(1, 2)));
  for (int n = 3; n < 40; ++n) {
    ASSERT_TRUE(Set({1, n})) << n;
    ASSERT_TRUE(Set({1})) << n;
  }
}

TEST_F(GuardTest, ConsentSettlesWhatWasLost) {
  serving_ = Range(1, 10);
  ASSERT_FALSE(Set(Range(1, 3)));
  guard_.Note("api:a", {LossTo(Range(1, 3))}, Guard::Consent::kGiven, now_);
  serving_ = Range(1, 3);
  EXPECT_TRUE(Set(Range(1, 2)));
}

TEST_F(GuardTest, WhatOperatorsTakeOutIsNotCounted) {
  serving_ = Range(1, 10);
  PoolLoss loss = LossTo({});
  loss.guarded.clear();
  EXPECT_TRUE(guard_.Check("api:a", {loss}, now_).ok());
}

// Whatever an owner does within a window, at least half of what it began with is left or replaced,
// unless it lost fewer than three.
TEST_F(GuardTest, NoRandomRunOfBatchesGetsBelowHalf) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    guard_ = Guard();
    const int begin = 3 + static_cast<int>(random() % 40);
    serving_ = Range(1, begin);
    int next_new = 300, refused = 0;
    for (int step = 0; step < 40; ++step) {
      Numbers next;
      const uint32_t keep = random() % 101;
      for (int n : serving_) {
        if (random() % 100 < keep) next.insert(n);
      }
      for (uint32_t add = random() % 4; add > 2; --add) next.insert(next_new++);
      if (!Set(next, absl::Milliseconds(100))) ++refused;
      ASSERT_TRUE(serving_.size() * 2 >= static_cast<size_t>(begin) ||
                  begin - static_cast<int>(serving_.size()) < 3)
          << "seed " << seed << " step " << step << ": " << begin << " to " << serving_.size();
    }
    EXPECT_GT(refused, 0);
    now_ += absl::Hours(1);
  }
}

}  // namespace
}  // namespace sidelb::control
