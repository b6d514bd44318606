// What hash modes look at, and the size of their tables, on random pools.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

#include "dataplane/pool/maglev.h"
#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::AddressOf;
using testing::TestPool;

constexpr Mode kHashModes[] = {Mode::kMaglev, Mode::kSourceHash};
constexpr PickSettings kByPort{.hash_key = HashKey::kSourceIpPort};

Backend* PickFor(const PoolSnapshot& snapshot, const Address& client) {
  Backend* const backend = snapshot.Pick({.client = &client}).backend;
  Release(&backend->load);
  return backend;
}

TEST(HashKeyTest, ByAddressAllPortsOfAClientStayTogether) {
  std::mt19937 random(1);
  for (Mode mode : kHashModes) {
    TestPool pool(std::vector<uint32_t>(20, 100));
    const auto snapshot = pool.Build(mode);
    for (int i = 0; i < 200; ++i) {
      const Address client = AddressOf(random() % (1 << 24));
      Backend* const first = PickFor(*snapshot, client.WithPort(1));
      for (int k = 0; k < 10; ++k) {
        const auto port = static_cast<uint16_t>(1 + random() % 65'535);
        ASSERT_EQ(PickFor(*snapshot, client.WithPort(port)), first);
      }
    }
  }
}

TEST(HashKeyTest, ByAddressAndPortEachPortHasABackendOfItsOwnAndKeepsIt) {
  std::mt19937 random(2);
  for (Mode mode : kHashModes) {
    TestPool pool(std::vector<uint32_t>(20, 100));
    const auto snapshot = pool.Build(mode, kByPort);
    for (const char* text : {"192.0.2.7:1", "[2001:db8::7]:1"}) {
      const Address client = *Address::Parse(text);
      std::map<Backend*, int> picks;
      for (int port = 1; port <= 20'000; ++port) {
        Backend* const backend = PickFor(*snapshot, client.WithPort(static_cast<uint16_t>(port)));
        ASSERT_EQ(PickFor(*snapshot, client.WithPort(static_cast<uint16_t>(port))), backend);
        ++picks[backend];
      }
      ASSERT_EQ(picks.size(), 20u);
      // 4 sigma of 20 000 draws with a chance of 1/20.
      for (const auto& [backend, count] : picks) EXPECT_NEAR(count, 1'000, 4 * 31) << text;
    }
  }
}

TEST(HashKeyTest, ByAddressAndPortWeightsHoldForOneClient) {
  TestPool pool({100, 200, 500, 200});
  const auto snapshot = pool.Build(Mode::kMaglev, kByPort);
  const Address client = *Address::Parse("192.0.2.7:1");
  std::vector<int> picks(4);
  for (int port = 1; port <= 50'000; ++port) {
    ++picks[pool.IndexOf(PickFor(*snapshot, client.WithPort(static_cast<uint16_t>(port))))];
  }
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(picks[i], 50.0 * pool.members[i].weight, 450) << i;
}

TEST(HashKeyTest, WithEitherKeyFewMoveWhenABackendLeaves) {
  for (HashKey key : {HashKey::kSourceIp, HashKey::kSourceIpPort}) {
    TestPool pool(std::vector<uint32_t>(50, 100));
    const PickSettings settings{.hash_key = key};
    const auto before = pool.Build(Mode::kMaglev, settings);
    pool.members[17].admin_state = AdminState::kDisabled;
    const auto after = pool.Build(Mode::kMaglev, settings);
    std::mt19937 random(3);
    int moved = 0;
    for (int i = 0; i < 20'000; ++i) {
      const Address client =
          AddressOf(random() % (1 << 24)).WithPort(static_cast<uint16_t>(1 + random() % 65'535));
      moved += PickFor(*before, client) != PickFor(*after, client) ? 1 : 0;
    }
    EXPECT_LE(moved, 20'000 * (1.0 / 50 + 0.015));
  }
}

TEST(HashTableSizeTest, TheWantedSizeIsUsedWhileItHasAHundredSlotsABackend) {
  EXPECT_EQ(MaglevTableSize(2, 251), 251u);
  EXPECT_EQ(MaglevTableSize(3, 251), 65'537u);
  EXPECT_EQ(MaglevTableSize(3, 0), 65'537u);
  EXPECT_EQ(MaglevTableSize(2, 655'373), 655'373u);
  EXPECT_EQ(MaglevTableSize(5'000, 393'241), 524'309u);
  EXPECT_EQ(MaglevTableSize(65'536, 655'373), 655'373u);
}

TEST(HashTableSizeTest, AnySizeServesByWeights) {
  for (uint32_t size : {251u, 1'009u, 65'537u, 131'101u}) {
    TestPool pool({100, 300});
    const MaglevPicker picker(pool.members, 2, HashKey::kSourceIp, size);
    ASSERT_EQ(picker.table().size(), size);
    uint32_t slots = 0;
    for (uint32_t index : picker.table()) slots += index;
    EXPECT_NEAR(slots, 0.75 * size, 1) << size;
  }
}

TEST(HashTableSizeTest, OnlyATableOverTheDefaultIsLarge) {
  TestPool pool({1, 1});
  EXPECT_FALSE(pool.Build(Mode::kMaglev, {.hash_table_size = 65'537})->is_large());
  EXPECT_TRUE(pool.Build(Mode::kMaglev, {.hash_table_size = 131'101})->is_large());
  EXPECT_FALSE(pool.Build(Mode::kRoundRobin, {.hash_table_size = 131'101})->is_large());
}

}  // namespace
}  // namespace sidelb
