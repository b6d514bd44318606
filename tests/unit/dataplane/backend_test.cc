#include "dataplane/pool/backend.h"

#include <gtest/gtest.h>

#include "dataplane/pool/least_load_index.h"
#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::AddressOf;

TEST(BackendTest, HasAsManyPlacesAsItsLimitSays) {
  Backend backend(AddressOf(0), 1);
  EXPECT_TRUE(TryAcquire(&backend.load, 2));
  EXPECT_TRUE(TryAcquire(&backend.load, 2));
  EXPECT_FALSE(TryAcquire(&backend.load, 2));
  EXPECT_EQ(backend.load.active, 2u);
  Release(&backend.load);
  EXPECT_TRUE(TryAcquire(&backend.load, 2));
}

TEST(BackendTest, ALowerLimitThanWhatIsTakenRefuses) {
  Backend backend(AddressOf(0), 1);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(TryAcquire(&backend.load, 0));
  EXPECT_FALSE(TryAcquire(&backend.load, 3));
  EXPECT_EQ(backend.load.active, 5u);
}

TEST(BackendTest, LimitsHoldThroughAnIndexToo) {
  Backend backend(AddressOf(0), 1);
  LeastLoadIndex index;
  index.Put(&backend.load, 1, 2);
  EXPECT_TRUE(TryAcquire(&backend.load, 2));
  EXPECT_TRUE(TryAcquire(&backend.load, 2));
  EXPECT_FALSE(TryAcquire(&backend.load, 2));
  Release(&backend.load);
  bool full = false;
  EXPECT_EQ(index.Acquire({}, &full), &backend.load);
  EXPECT_EQ(backend.load.active, 2u);
  index.Detach(&backend.load);
}

TEST(BackendTest, AShardsPartIsMadeAtItsFirstUse) {
  Backend backend(AddressOf(3), 2);
  EXPECT_EQ(backend.FindShard(0), nullptr);
  BackendShard* const mine = backend.Shard(0);
  ASSERT_NE(mine, nullptr);
  EXPECT_EQ(backend.Shard(0), mine);
  EXPECT_EQ(backend.FindShard(0), mine);
  EXPECT_EQ(backend.FindShard(1), nullptr);
  EXPECT_NE(backend.Shard(1), mine);
  EXPECT_EQ(backend.shard_count(), 2u);
}

TEST(BackendTest, WhatShardsShareSitsOnALineOfItsOwn) {
  Backend backend(AddressOf(0), 1);
  EXPECT_EQ(sizeof(BackendLoad), 64u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(&backend.load) % 64, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(backend.Shard(0)) % 64, 0u);
}

}  // namespace
}  // namespace sidelb
