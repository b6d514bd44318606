#include "dataplane/pool/random_pickers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::TestPool;

TEST(RandomPickerTest, HoldsTheWeightsWithinFourSigma) {
  TestPool pool({1, 2, 3, 10, 84});
  const auto snapshot = pool.Build(Mode::kRandom);
  std::mt19937_64 random(42);
  constexpr int kPicks = 100'000;
  for (int i = 0; i < kPicks; ++i) ASSERT_NE(snapshot->Pick({.random = random()}).backend, nullptr);
  for (size_t i = 0; i < pool.size(); ++i) {
    const double share = pool.members[i].weight / 100.0;
    EXPECT_NEAR(pool[i]->load.active, kPicks * share, 4 * std::sqrt(kPicks * share * (1 - share)));
  }
}

TEST(P2cPickerTest, KeepsLoadsCloserThanRandomDoes) {
  std::mt19937_64 random(42);
  int spread[2];
  for (Mode mode : {Mode::kRandom, Mode::kP2c}) {
    TestPool pool(std::vector<uint32_t>(50, 1));
    const auto snapshot = pool.Build(mode);
    for (int i = 0; i < 5'000; ++i) snapshot->Pick({.random = random()});
    uint32_t least = UINT32_MAX, most = 0;
    for (size_t i = 0; i < pool.size(); ++i) {
      least = std::min(least, pool[i]->load.active.load());
      most = std::max(most, pool[i]->load.active.load());
    }
    spread[mode == Mode::kP2c] = static_cast<int>(most - least);
  }
  EXPECT_GT(spread[0], 30);
  EXPECT_LT(spread[1], 10);
}

TEST(P2cPickerTest, LoadsFollowTheWeights) {
  TestPool pool({1, 2, 5});
  const auto snapshot = pool.Build(Mode::kP2c);
  std::mt19937_64 random(1);
  for (int i = 0; i < 8'000; ++i) snapshot->Pick({.random = random()});
  EXPECT_NEAR(pool[0]->load.active, 1'000, 100);
  EXPECT_NEAR(pool[1]->load.active, 2'000, 200);
  EXPECT_NEAR(pool[2]->load.active, 5'000, 300);
}

TEST(RandomPickersTest, FindTheOnlyFreePlaceAndTellWhenThereIsNone) {
  for (Mode mode : {Mode::kRandom, Mode::kP2c}) {
    TestPool pool({});
    for (int i = 0; i < 100; ++i) pool.Add(1 + static_cast<uint32_t>(i % 3), 1);
    const auto snapshot = pool.Build(mode);
    std::mt19937_64 random(3);
    for (int i = 0; i < 100; ++i) {
      ASSERT_NE(snapshot->Pick({.random = random()}).backend, nullptr) << ModeName(mode);
    }
    EXPECT_EQ(snapshot->Pick({.random = random()}).error, PickError::kNoCapacity);

    TestPool one({1});
    const std::vector<Backend*> tried = {one[0]};
    const auto lonely = one.Build(mode);
    EXPECT_EQ(lonely->Pick({.tried = tried}).error, PickError::kNoBackend);
    EXPECT_EQ(lonely->Pick({}).backend, one[0]);
    EXPECT_EQ(TestPool({}).Build(mode)->Pick({}).error, PickError::kNoBackend);
  }
}

}  // namespace
}  // namespace sidelb
