#include "dataplane/pool/maglev.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::AddressOf;
using testing::TestPool;

std::vector<int> Slots(const MaglevPicker& picker, size_t backends) {
  std::vector<int> slots(backends);
  for (uint32_t index : picker.table()) ++slots[index];
  return slots;
}

// Expects that each backend has its share of the slots within one.
void ExpectShares(const std::vector<uint32_t>& weights) {
  TestPool pool(weights);
  const MaglevPicker picker(pool.members);
  double total = 0;
  for (uint32_t weight : weights) total += weight;
  const std::vector<int> slots = Slots(picker, weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const double share = static_cast<double>(picker.table().size()) * weights[i] / total;
    ASSERT_NEAR(slots[i], share, 1) << "backend " << i << " of " << weights.size();
    ASSERT_GE(slots[i], 1);
  }
}

TEST(MaglevTest, TheTableGrowsWithThePool) {
  EXPECT_EQ(MaglevTableSize(1), 65'537u);
  EXPECT_EQ(MaglevTableSize(655), 65'537u);
  EXPECT_EQ(MaglevTableSize(656), 131'101u);
  EXPECT_EQ(MaglevTableSize(5'000), 524'309u);
  EXPECT_EQ(MaglevTableSize(65'536), 655'373u);
}

TEST(MaglevTest, EachBackendHasItsShareWithinOne) {
  for (size_t count : {1u, 2u, 3u, 10u, 100u, 1'000u}) {
    ExpectShares(std::vector<uint32_t>(count, 7));
  }
  ExpectShares({1, 2, 3, 4, 5});
  ExpectShares({100, 1});
  std::mt19937 random(11);
  std::vector<uint32_t> weights(500);
  for (uint32_t& weight : weights) weight = 50 + random() % 1'000;
  ExpectShares(weights);
}

TEST(MaglevTest, OneHeavyBackendAmongManyLightOnesKeepsItsShare) {
  std::vector<uint32_t> weights(5'000, 1);
  weights[1'234] = 65'535;
  ExpectShares(weights);
}

TEST(MaglevTest, ABackendWhoseShareIsBelowOneSlotHasOne) {
  std::vector<uint32_t> weights(200, 1);
  for (int i = 0; i < 5; ++i) weights.push_back(65'535);
  TestPool pool(weights);
  const std::vector<int> slots = Slots(MaglevPicker(pool.members), weights.size());
  for (size_t i = 0; i < 200; ++i) EXPECT_EQ(slots[i], 1);
  // The heavy ones share the rest evenly.
  for (size_t i = 200; i < 205; ++i) EXPECT_NEAR(slots[i], (65'537 - 200) / 5.0, 1);
}

TEST(MaglevTest, FewClientsMoveWhenABackendLeaves) {
  for (size_t count : {2u, 3u, 10u, 50u, 200u}) {
    for (bool is_weighted : {false, true}) {
      std::vector<uint32_t> weights(count, 10);
      // The one that leaves has the average weight.
      for (size_t i = 1; is_weighted && i + 1 < count; i += 2) weights[i] = 15, weights[i + 1] = 5;
      TestPool pool(weights);
      const MaglevPicker before(pool.members);
      const std::vector<Member> left(pool.members.begin() + 1, pool.members.end());
      const MaglevPicker after(left);
      const size_t size = before.table().size();
      ASSERT_EQ(after.table().size(), size);
      size_t moved = 0;
      for (size_t slot = 0; slot < size; ++slot) {
        moved += pool.members[before.table()[slot]].backend != left[after.table()[slot]].backend;
      }
      EXPECT_LE(static_cast<double>(moved) / size, 1.0 / count + 0.015) << count << is_weighted;
    }
  }
}

TEST(MaglevTest, FewClientsMoveWhenABackendTurnsUnhealthyWhereTheTableSizesMeet) {
  for (size_t count : {656u, 1'312u}) {
    TestPool pool(std::vector<uint32_t>(count, 1));
    const auto before = pool.Build(Mode::kMaglev);
    pool.members[7].health = Health::kUnhealthy;
    const auto after = pool.Build(Mode::kMaglev);
    int moved = 0;
    for (size_t i = 0; i < 10'000; ++i) {
      const Address client = AddressOf(i * 37);
      moved +=
          before->Pick({.client = &client}).backend != after->Pick({.client = &client}).backend;
    }
    EXPECT_LE(moved / 10'000.0, 1.0 / static_cast<double>(count) + 0.015) << count;
  }
}

TEST(MaglevTest, TheOrderOfThePoolDoesNotMatter) {
  TestPool pool({1, 2, 3, 4, 5, 6});
  const MaglevPicker picker(pool.members);
  const std::vector<Member> turned(pool.members.rbegin(), pool.members.rend());
  const MaglevPicker other(turned);
  for (size_t slot = 0; slot < picker.table().size(); ++slot) {
    ASSERT_EQ(pool.members[picker.table()[slot]].backend, turned[other.table()[slot]].backend);
  }
}

TEST(MaglevTest, AClientKeepsItsBackendWhateverItsPort) {
  TestPool pool(std::vector<uint32_t>(20, 1));
  const auto snapshot = pool.Build(Mode::kMaglev);
  std::vector<int> clients(20);
  for (size_t i = 0; i < 2'000; ++i) {
    const Address client = AddressOf(i * 77);
    Backend* const backend = snapshot->Pick({.client = &client}).backend;
    ++clients[static_cast<size_t>(pool.IndexOf(backend))];
    const Address later = client.WithPort(static_cast<uint16_t>(i));
    ASSERT_EQ(snapshot->Pick({.client = &later}).backend, backend);
  }
  for (int count : clients) EXPECT_NEAR(count, 100, 40);  // 4 sigma
}

TEST(MaglevTest, FullAndTriedBackendsGiveTheirClientsToOthers) {
  TestPool pool({1, 1, 1});
  const Address client = AddressOf(5);
  Backend* const first = pool.Build(Mode::kMaglev)->Pick({.client = &client}).backend;
  const std::vector<Backend*> tried = {first};
  const auto snapshot = pool.Build(Mode::kMaglev);
  Backend* const second = snapshot->Pick({.client = &client, .tried = tried}).backend;
  EXPECT_NE(second, nullptr);
  EXPECT_NE(second, first);
  pool.members[static_cast<size_t>(pool.IndexOf(first))].max_connections = 1;
  EXPECT_EQ(pool.Build(Mode::kMaglev)->Pick({.client = &client}).backend, second);
}

}  // namespace
}  // namespace sidelb
