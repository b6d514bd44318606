#include "dataplane/net/shard_loads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace sidelb {
namespace {

// As a new connection that `here` accepted: where it goes.
size_t Accept(ShardLoads& loads, size_t here, uint64_t random = 0) {
  const size_t home = loads.Choose(here, random);
  loads.Enter(home);
  return home;
}

TEST(ShardLoads, OneShardKeepsAll) {
  ShardLoads loads(1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Accept(loads, 0), 0u);
  EXPECT_EQ(loads.sessions(0), 10u);
}

TEST(ShardLoads, AFewConnectionsThatOneShardAcceptsAreSpread) {
  ShardLoads loads(4);
  for (int i = 0; i < 8; ++i) Accept(loads, 2);
  for (size_t shard = 0; shard < 4; ++shard) EXPECT_EQ(loads.sessions(shard), 2u);
}

TEST(ShardLoads, WhoHasNoMoreThanOthersKeepsItsOwn) {
  ShardLoads loads(3);
  EXPECT_EQ(Accept(loads, 1), 1u);
  EXPECT_EQ(Accept(loads, 2), 2u);
  EXPECT_EQ(Accept(loads, 0), 0u);
  EXPECT_EQ(Accept(loads, 0), 0u) << "all have one";
}

TEST(ShardLoads, ManyMayDifferByAnEighth) {
  ShardLoads loads(2);
  for (int i = 0; i < 80; ++i) loads.Enter(0);
  for (int i = 0; i < 72; ++i) loads.Enter(1);
  EXPECT_EQ(loads.Choose(0, 0), 0u) << "80 and 72 are near enough";
  for (int i = 0; i < 2; ++i) loads.Enter(0);
  EXPECT_EQ(loads.Choose(0, 0), 1u);
  EXPECT_EQ(loads.Choose(1, 0), 1u);
}

TEST(ShardLoads, SessionsThatEndCountNoMore) {
  ShardLoads loads(2);
  for (int i = 0; i < 4; ++i) loads.Enter(0);
  for (int i = 0; i < 4; ++i) loads.Enter(1);
  for (int i = 0; i < 3; ++i) loads.Leave(1);
  EXPECT_EQ(Accept(loads, 0), 1u);
}

TEST(ShardLoads, AShardThatHasNotTakenManyIsHandedNoMore) {
  ShardLoads loads(2);
  for (int i = 0; i < 1000; ++i) loads.Enter(0);
  for (uint32_t i = 0; i < ShardLoads::kMaxUnderWay; ++i) {
    EXPECT_EQ(Accept(loads, 0), 1u);
    loads.Send(1);
  }
  EXPECT_EQ(Accept(loads, 0), 0u);
  loads.Arrive(1);
  EXPECT_EQ(Accept(loads, 0), 1u);
}

TEST(ShardLoads, AfterTheStopEachKeepsItsOwn) {
  ShardLoads loads(2);
  for (int i = 0; i < 10; ++i) loads.Enter(0);
  loads.Stop();
  EXPECT_EQ(Accept(loads, 0), 0u);
}

TEST(ShardLoads, OfManyShardsSomeAreLookedAt) {
  ShardLoads loads(64);
  loads.Enter(5);
  // Those from 4 to 11: itself and seven without a session.
  EXPECT_EQ(loads.Choose(5, 4), 4u);
  // Those from 62 to 5, around the end.
  EXPECT_EQ(loads.Choose(5, 62), 62u);
  uint64_t random = 1;
  for (int i = 0; i < 63; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    Accept(loads, 5, random >> 32);
  }
  uint32_t most = 0;
  for (size_t shard = 0; shard < 64; ++shard) most = std::max(most, loads.sessions(shard));
  EXPECT_LE(most, 3u);
}

}  // namespace
}  // namespace sidelb
