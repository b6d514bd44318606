#include "dataplane/pool/least_connections.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::TestPool;

// As control does after the acknowledgements.
void PutAll(TestPool& pool, const PoolSnapshot& snapshot) {
  for (const Member& member : snapshot.eligible()) {
    pool.load.index.Put(&member.backend->load, member.weight, member.max_connections);
  }
}

TEST(LeastConnectionsTest, TakesTheLeastLoadedOverAllShards) {
  TestPool pool({1, 1, 1});
  const auto snapshot = pool.Build(Mode::kLeastConnections);
  PutAll(pool, *snapshot);
  for (int i = 0; i < 30; ++i) ASSERT_NE(snapshot->Pick({}).backend, nullptr);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(pool[i]->load.active, 10u);
  for (int i = 0; i < 4; ++i) Release(&pool[1]->load);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(snapshot->Pick({}).backend, pool[1]);
}

TEST(LeastConnectionsTest, ServesBeforeTheIndexHasAnyMember) {
  TestPool pool({1, 3});
  const auto snapshot = pool.Build(Mode::kLeastConnections);
  for (int i = 0; i < 40; ++i) ASSERT_NE(snapshot->Pick({}).backend, nullptr);
  EXPECT_EQ(pool[0]->load.active, 10u);
  EXPECT_EQ(pool[1]->load.active, 30u);
}

TEST(LeastConnectionsTest, LooksBeyondTheIndexWhenItsMembersAreFullOrTried) {
  TestPool pool({1, 1, 1});
  pool.members[0].max_connections = 1;
  const auto snapshot = pool.Build(Mode::kLeastConnections);
  pool.load.index.Put(&pool[0]->load, 1, 1);
  pool.load.index.Put(&pool[1]->load, 1, 0);
  const std::vector<Backend*> tried = {pool[1]};
  EXPECT_EQ(snapshot->Pick({.tried = tried}).backend, pool[0]);
  EXPECT_EQ(snapshot->Pick({.tried = tried}).backend, pool[2]);
}

TEST(LeastConnectionsTest, ABackendThatControlTookOutIsNotPickedFromANewSnapshot) {
  TestPool pool({1, 1});
  PutAll(pool, *pool.Build(Mode::kLeastConnections));
  pool.members[0].admin_state = AdminState::kDraining;
  const auto snapshot = pool.Build(Mode::kLeastConnections);
  pool.load.index.Remove(&pool[0]->load);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(snapshot->Pick({}).backend, pool[1]);
}

TEST(LeastConnectionsTest, TellsNoCapacityFromNoBackend) {
  TestPool empty({});
  EXPECT_EQ(empty.Build(Mode::kLeastConnections)->Pick({}).error, PickError::kNoBackend);

  for (bool is_indexed : {false, true}) {
    TestPool pool({1, 1});
    for (Member& member : pool.members) member.max_connections = 1;
    const auto snapshot = pool.Build(Mode::kLeastConnections);
    if (is_indexed) PutAll(pool, *snapshot);
    const std::vector<Backend*> both = {pool[0], pool[1]};
    EXPECT_EQ(snapshot->Pick({.tried = both}).error, PickError::kNoBackend);
    EXPECT_NE(snapshot->Pick({}).backend, nullptr);
    EXPECT_NE(snapshot->Pick({}).backend, nullptr);
    EXPECT_EQ(snapshot->Pick({}).backend, nullptr);
    EXPECT_EQ(snapshot->Pick({}).error, PickError::kNoCapacity);
  }
}

TEST(LeastConnectionsTest, CountsSurviveASwitchOfModes) {
  TestPool pool({1, 1, 1});
  const auto round_robin = pool.Build(Mode::kRoundRobin);
  // Two places of the first are taken while there is no index.
  const std::vector<Backend*> others = {pool[1], pool[2]};
  for (int i = 0; i < 2; ++i) ASSERT_EQ(round_robin->Pick({.tried = others}).backend, pool[0]);

  const auto least = pool.Build(Mode::kLeastConnections);
  PutAll(pool, *least);
  for (int i = 0; i < 4; ++i) EXPECT_NE(least->Pick({}).backend, pool[0]);
  // A shard that still uses the old snapshot keeps the order exact.
  ASSERT_EQ(round_robin->Pick({.tried = others}).backend, pool[0]);
  EXPECT_NE(least->Pick({}).backend, pool[0]);
  EXPECT_NE(least->Pick({}).backend, pool[0]);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(pool[i]->load.active, 3u);

  for (size_t i = 0; i < 3; ++i) pool.load.index.Detach(&pool[i]->load);
  for (size_t i = 0; i < 3; ++i) {
    for (int n = 0; n < 3; ++n) Release(&pool[i]->load);
    EXPECT_EQ(pool[i]->load.active, 0u);
  }
}

}  // namespace
}  // namespace sidelb
