#include "dataplane/pool/round_robin.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <unordered_set>
#include <vector>

#include "dataplane/pool/weights.h"
#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::TestPool;

// The indexes of `count` picks; places are given back at once.
std::vector<int> Picks(const TestPool& pool, const PoolSnapshot& snapshot, uint64_t count) {
  std::vector<int> picks;
  picks.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const PickResult picked = snapshot.Pick({});
    picks.push_back(pool.IndexOf(picked.backend));
    if (picked.backend != nullptr) Release(&picked.backend->load);
  }
  return picks;
}

TEST(RoundRobinTest, EqualWeightsGoInTheOrderOfThePool) {
  for (uint32_t weight : {1u, 100u, 65'535u}) {
    TestPool pool({weight, weight, weight});
    EXPECT_EQ(Picks(pool, *pool.Build(Mode::kRoundRobin), 7),
              (std::vector<int>{0, 1, 2, 0, 1, 2, 0}));
  }
}

TEST(RoundRobinTest, EveryWPicksInARowVisitEachBackendAsItsWeightSays) {
  const std::vector<std::vector<uint32_t>> pools = {
      {1},          {9},          {1, 2},           {2, 4},
      {5, 1, 1},    {10, 20, 30}, {1, 1, 1, 2},     {100, 1},
      {7, 7, 7, 8}, {65'535, 1},  {65'535, 65'534}, {3, 5, 7, 11, 13, 17},
      {1, 1'000},   {6, 10, 15},  {65'000, 130, 65}};
  for (const std::vector<uint32_t>& weights : pools) {
    uint32_t divisor = 0;
    for (uint32_t weight : weights) divisor = std::gcd(divisor, weight);
    const uint64_t total = std::accumulate(weights.begin(), weights.end(), uint64_t{0}) / divisor;
    TestPool pool(weights);
    pool.load.cursor = 12'345;  // anywhere
    const std::vector<int> picks = Picks(pool, *pool.Build(Mode::kRoundRobin), 3 * total);
    // All windows of W: the first is counted, then what leaves must be what enters.
    std::vector<uint64_t> visits(weights.size());
    for (uint64_t i = 0; i < total; ++i) ++visits[static_cast<size_t>(picks[i])];
    for (size_t i = 0; i < weights.size(); ++i) {
      EXPECT_EQ(visits[i], weights[i] / divisor) << ::testing::PrintToString(weights);
    }
    for (uint64_t i = total; i < picks.size(); ++i) ASSERT_EQ(picks[i], picks[i - total]);
  }
}

TEST(RoundRobinTest, VisitsOfAHeavyBackendAreSpread) {
  // One with half of all the weight: never three times in a row, never left out three times.
  std::vector<uint32_t> weights(100, 1);
  weights.push_back(100);
  TestPool pool(weights);
  const std::vector<int> picks = Picks(pool, *pool.Build(Mode::kRoundRobin), 1'000);
  for (size_t i = 2; i < picks.size(); ++i) {
    const int heavy = (picks[i] == 100) + (picks[i - 1] == 100) + (picks[i - 2] == 100);
    EXPECT_GE(heavy, 1) << i;
    EXPECT_LE(heavy, 2) << i;
  }
}

TEST(RoundRobinTest, ShardsAndSnapshotsShareOneCursor) {
  TestPool pool({1, 1, 1});
  const auto one = pool.Build(Mode::kRoundRobin);
  const auto other = pool.Build(Mode::kRoundRobin);
  std::vector<int> picks;
  for (int i = 0; i < 3; ++i) {
    for (const auto& snapshot : {one, other}) picks.push_back(Picks(pool, *snapshot, 1)[0]);
  }
  EXPECT_EQ(picks, (std::vector<int>{0, 1, 2, 0, 1, 2}));
}

TEST(RoundRobinTest, AFullBackendGivesItsTurnToOthers) {
  TestPool pool({1, 1, 1});
  pool.members[1].max_connections = 1;
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  std::vector<int> visits(3);
  for (int i = 0; i < 31; ++i) ++visits[pool.IndexOf(snapshot->Pick({}).backend)];
  EXPECT_EQ(visits[1], 1);
  EXPECT_EQ(visits[0], 15);
  EXPECT_EQ(visits[2], 15);
  Release(&pool[1]->load);
  visits = {0, 0, 0};
  for (int i = 0; i < 3; ++i) ++visits[pool.IndexOf(snapshot->Pick({}).backend)];
  EXPECT_EQ(visits[1], 1);
}

TEST(RoundRobinTest, FindsTheOnlyFreePlaceOfManyBackends) {
  TestPool pool({});
  for (uint32_t i = 0; i < 500; ++i) pool.Add(1 + i % 7, 1);
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  for (int i = 0; i < 500; ++i) {
    ASSERT_NE(snapshot->Pick({}).backend, nullptr) << i;
  }
  for (size_t i = 0; i < pool.size(); ++i) EXPECT_EQ(pool[i]->load.active, 1u);
  EXPECT_EQ(snapshot->Pick({}).error, PickError::kNoCapacity);
  Release(&pool[321]->load);
  EXPECT_EQ(pool.IndexOf(snapshot->Pick({}).backend), 321);
}

TEST(RoundRobinTest, TriedBackendsArePassedOver) {
  TestPool pool({1, 1, 1, 1});
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  const std::vector<Backend*> tried = {pool[0], pool[2], pool[3]};
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(pool.IndexOf(snapshot->Pick({.tried = tried}).backend), 1);
  }
}

TEST(RoundRobinTest, TellsNoCapacityFromNoBackend) {
  TestPool empty({});
  EXPECT_EQ(empty.Build(Mode::kRoundRobin)->Pick({}).error, PickError::kNoBackend);

  TestPool pool({1, 1});
  pool.members[0].max_connections = 1;
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  const std::vector<Backend*> both = {pool[0], pool[1]};
  const std::vector<Backend*> second = {pool[1]};
  EXPECT_EQ(snapshot->Pick({.tried = both}).error, PickError::kNoBackend);
  EXPECT_EQ(pool[0]->load.active, 0u);
  EXPECT_EQ(snapshot->Pick({.tried = second}).backend, pool[0]);
  // The one is full, the other was tried.
  const PickResult result = snapshot->Pick({.tried = second});
  EXPECT_EQ(result.backend, nullptr);
  EXPECT_EQ(result.error, PickError::kNoCapacity);
  // A full one that was tried is out of the question, not out of places.
  EXPECT_EQ(snapshot->Pick({.tried = both}).error, PickError::kNoBackend);
}

TEST(RoundRobinTest, TheLargestPoolHoldsItsWeights) {
  // 65 536 backends; a schedule of these weights would have billions of entries.
  std::mt19937 random(7);
  TestPool pool({});
  std::unordered_set<const Backend*> heavy;
  uint64_t total_weight = 0, heavy_weight = 0;
  for (int i = 0; i < 65'536; ++i) {
    const uint32_t weight = 1 + random() % 65'535;
    Backend* const backend = pool.Add(weight);
    total_weight += weight;
    if (weight <= 32'768) continue;
    heavy.insert(backend);
    heavy_weight += weight;
  }
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  // Picks are spread, so the heavier half gets its share of a short run already.
  constexpr int kPicks = 100'000;
  int heavy_picks = 0;
  for (int i = 0; i < kPicks; ++i) heavy_picks += heavy.contains(snapshot->Pick({}).backend);
  EXPECT_NEAR(heavy_picks, static_cast<double>(heavy_weight) / total_weight * kPicks, 500);
}

TEST(RoundRobinTest, TheGreatestSumOfWeightsDoesNotOverflow) {
  TestPool pool({});
  for (int i = 0; i < 65'535; ++i) pool.Add(65'535);
  pool.Add(65'534);
  const uint64_t total = 65'536ull * 65'535 - 1;
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  EXPECT_EQ(Weights(pool.members).total(), total);
  // The end of a period and the begin of the next: slot (W-1)*s mod W is W-s, slot 0 follows.
  pool.load.cursor = total;
  Backend* const first = snapshot->Pick({}).backend;
  EXPECT_EQ(first, pool[0]);
  Backend* const second = snapshot->Pick({}).backend;
  pool.load.cursor = total - 1;
  Backend* const last = snapshot->Pick({}).backend;
  // s and W-s lie symmetric to the middle: the indexes of both add up to that of the last one.
  EXPECT_NEAR(pool.IndexOf(second) + pool.IndexOf(last), 65'535, 1);
}

TEST(WeightsTest, FindsTheRangeOfEachSlot) {
  TestPool pool({4, 2, 6});
  const Weights weights(pool.members);
  EXPECT_EQ(weights.total(), 6u);
  EXPECT_FALSE(weights.are_equal());
  const std::vector<size_t> expected = {0, 0, 1, 2, 2, 2};
  for (uint64_t slot = 0; slot < 6; ++slot) EXPECT_EQ(weights.Find(slot), expected[slot]);
  EXPECT_EQ(weights.Sample(0), 0u);
  EXPECT_EQ(weights.Sample(UINT64_MAX), 2u);
  EXPECT_EQ(weights.Sample(UINT64_MAX / 2 + 1), 2u);
  EXPECT_EQ(weights.Sample(UINT64_MAX / 2 - 1), 1u);
}

}  // namespace
}  // namespace sidelb
