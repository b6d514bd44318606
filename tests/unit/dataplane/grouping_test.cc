// group_by_ip: least-connections and p2c compare IPs, on random pools and by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "dataplane/pool/member_groups.h"
#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::TestPool;

constexpr PickSettings kGrouped{.group_by_ip = true};

// Backends on 10.0.0.x, named by x and their port.
class GroupedPool {
 public:
  ~GroupedPool() {
    for (size_t i = 0; i < pool.size(); ++i) pool.load.index.Detach(&pool[i]->load);
  }

  Backend* Add(int ip, int port, uint32_t weight = 100, uint32_t max_connections = 0) {
    return pool.AddAt(*Address::Parse(fmt::format("10.0.0.{}:{}", ip, port)), weight,
                      max_connections);
  }
  // A snapshot, and what control does with the index around its publication.
  std::shared_ptr<const PoolSnapshot> Publish(Mode mode, const PickSettings& settings = kGrouped) {
    auto snapshot = pool.Build(mode, settings);
    if (mode != Mode::kLeastConnections) return snapshot;
    for (const Member& member : snapshot->members()) Put(member, settings);
    return snapshot;
  }
  void Put(const Member& member, const PickSettings& settings = kGrouped) {
    pool.load.index.Put(&member.backend->load, member.weight, member.max_connections,
                        settings.group_by_ip ? Grouping::kByIp : Grouping::kNone);
  }
  // Active sessions by IP.
  std::map<std::string, uint64_t> Sessions() const {
    std::map<std::string, uint64_t> sessions;
    for (size_t i = 0; i < pool.size(); ++i) {
      sessions[pool[i]->address().Host()] += pool[i]->load.active;
    }
    return sessions;
  }

  TestPool pool{{}};
};

TEST(GroupingTest, LeastConnectionsCountsTheSessionsOfAnIpTogether) {
  GroupedPool grouped;
  for (int port = 1; port <= 3; ++port) grouped.Add(1, port, 100);
  grouped.Add(2, 1, 300);
  const auto snapshot = grouped.Publish(Mode::kLeastConnections);

  for (int i = 0; i < 60; ++i) ASSERT_NE(snapshot->Pick({}).backend, nullptr);

  EXPECT_EQ(grouped.Sessions()["10.0.0.1"], 30u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(grouped.pool[i]->load.active, 10u) << i;
  EXPECT_EQ(grouped.pool[3]->load.active, 30u);
}

TEST(GroupingTest, AnIpWithOneBusyPortGivesItsOtherPortNoMoreThanItsShare) {
  GroupedPool grouped;
  Backend* const busy = grouped.Add(1, 1);
  Backend* const idle = grouped.Add(1, 2);
  Backend* const other = grouped.Add(2, 1, 200);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(TryAcquire(&busy->load, 0));
  const auto snapshot = grouped.Publish(Mode::kLeastConnections);

  for (int i = 0; i < 10; ++i) EXPECT_EQ(snapshot->Pick({}).backend, other);
  for (int i = 0; i < 4; ++i) snapshot->Pick({});

  EXPECT_EQ(busy->load.active, 10u);
  EXPECT_EQ(idle->load.active, 2u);
  EXPECT_EQ(other->load.active, 12u);
}

TEST(GroupingTest, AFullMemberLeavesItsGroupToTheOthers) {
  GroupedPool grouped;
  Backend* const small = grouped.Add(1, 1, 100, 1);
  Backend* const large = grouped.Add(1, 2, 100, 2);
  const auto snapshot = grouped.Publish(Mode::kLeastConnections);

  for (int i = 0; i < 3; ++i) ASSERT_NE(snapshot->Pick({}).backend, nullptr);

  EXPECT_EQ(snapshot->Pick({}).error, PickError::kNoCapacity);
  Release(&large->load);
  EXPECT_EQ(snapshot->Pick({}).backend, large);
  Release(&small->load);
  EXPECT_EQ(snapshot->Pick({}).backend, small);
}

TEST(GroupingTest, WhatWasTriedIsPassedOverWithinItsGroupAndBeyond) {
  GroupedPool grouped;
  Backend* const a = grouped.Add(1, 1);
  Backend* const b = grouped.Add(1, 2);
  Backend* const c = grouped.Add(2, 1);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(TryAcquire(&c->load, 0));
  for (Mode mode : {Mode::kLeastConnections, Mode::kP2c}) {
    const auto snapshot = grouped.Publish(mode);
    std::vector<Backend*> tried{a};
    EXPECT_EQ(snapshot->Pick({.random = 7, .tried = tried}).backend, b);
    tried.push_back(b);
    EXPECT_EQ(snapshot->Pick({.random = 7, .tried = tried}).backend, c);
    tried.push_back(c);
    EXPECT_EQ(snapshot->Pick({.random = 7, .tried = tried}).error, PickError::kNoBackend);
    Release(&b->load);
    Release(&c->load);
  }
}

// What a look at every backend says, without the code under test.
bool IsLeast(const TestPool& pool, const std::vector<uint32_t>& before, size_t picked) {
  std::map<std::string, std::pair<uint64_t, uint64_t>> sums;  // active, weight
  std::map<std::string, bool> has_place;
  const auto has = [&](size_t i) {
    const uint32_t limit = pool.members[i].max_connections;
    return limit == 0 || before[i] < limit;
  };
  for (size_t i = 0; i < pool.size(); ++i) {
    const std::string ip = pool[i]->address().Host();
    sums[ip].first += before[i];
    sums[ip].second += pool.members[i].weight;
    has_place[ip] = has_place[ip] || has(i);
  }
  const std::string mine = pool[picked]->address().Host();
  for (const auto& [ip, sum] : sums) {
    if (has_place[ip] && sum.first * sums[mine].second < sums[mine].first * sum.second)
      return false;
  }
  for (size_t i = 0; i < pool.size(); ++i) {
    if (pool[i]->address().Host() != mine || !has(i)) continue;
    if (uint64_t{before[i]} * pool.members[picked].weight <
        uint64_t{before[picked]} * pool.members[i].weight) {
      return false;
    }
  }
  return has(picked);
}

// Picks, ends, changes of weights, members that leave and come, and switches of the grouping, in
// any order: each pick is the least by the counts of that moment.
TEST(GroupingTest, TheIndexIsExactWhateverHappens) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    std::mt19937 random(seed);
    GroupedPool grouped;
    for (int i = 0; i < 40; ++i) {
      grouped.Add(1 + static_cast<int>(random() % 8), 1 + i, 1 + random() % 5, random() % 6);
    }
    auto snapshot = grouped.Publish(Mode::kLeastConnections);
    TestPool& pool = grouped.pool;
    std::vector<bool> is_member(pool.size(), true);
    std::vector<Backend*> sessions;
    for (int step = 0; step < 4'000; ++step) {
      const uint32_t dice = random() % 100;
      const size_t i = random() % pool.size();
      if (dice < 50) {
        std::vector<uint32_t> before;
        for (size_t k = 0; k < pool.size(); ++k) before.push_back(pool[k]->load.active);
        bool full = false;
        BackendLoad* const load = pool.load.index.Acquire({}, &full);
        if (load == nullptr) {
          ASSERT_TRUE(full);
          continue;
        }
        sessions.push_back(load->backend);
        if (std::count(is_member.begin(), is_member.end(), false) > 0) continue;
        ASSERT_TRUE(IsLeast(pool, before, static_cast<size_t>(pool.IndexOf(load->backend))))
            << "seed " << seed << " step " << step;
      } else if (dice < 92 && !sessions.empty()) {
        std::swap(sessions[random() % sessions.size()], sessions.back());
        Release(&sessions.back()->load);
        sessions.pop_back();
      } else if (dice < 95) {
        pool.members[i].weight = 1 + random() % 5;
        grouped.Put(pool.members[i]);
        is_member[i] = true;
      } else if (dice < 96) {
        pool.load.index.Remove(&pool[i]->load);
        is_member[i] = false;
      } else if (dice < 97) {
        for (const Member& member : pool.members) grouped.Put(member, {});
        for (const Member& member : pool.members) grouped.Put(member);
        is_member.assign(pool.size(), true);
      } else {
        for (size_t k = 0; k < pool.size(); ++k) {
          if (!is_member[k]) grouped.Put(pool.members[k]);
        }
        is_member.assign(pool.size(), true);
      }
    }
    for (Backend* backend : sessions) Release(&backend->load);
    for (size_t k = 0; k < pool.size(); ++k) ASSERT_EQ(pool[k]->load.active, 0u);
  }
}

TEST(GroupingTest, SwitchingItKeepsCounts) {
  GroupedPool grouped;
  Backend* const a = grouped.Add(1, 1);
  Backend* const b = grouped.Add(1, 2);
  Backend* const c = grouped.Add(2, 1);
  auto snapshot = grouped.Publish(Mode::kLeastConnections, {});
  for (int i = 0; i < 3; ++i) snapshot->Pick({});  // one each

  snapshot = grouped.Publish(Mode::kLeastConnections);  // 2/200 and 1/100
  for (int i = 0; i < 3; ++i) snapshot->Pick({});
  EXPECT_EQ(a->load.active + b->load.active, 4u);
  EXPECT_EQ(c->load.active, 2u);
  grouped.Publish(Mode::kLeastConnections, {});
  EXPECT_EQ(a->load.active + b->load.active + c->load.active, 6u);
}

TEST(GroupingTest, WithoutTheIndexAScanComparesGroupsToo) {
  GroupedPool grouped;
  for (int port = 1; port <= 4; ++port) grouped.Add(1, port);
  grouped.Add(2, 1, 400);
  const auto snapshot = grouped.pool.Build(Mode::kLeastConnections, kGrouped);

  for (int i = 0; i < 80; ++i) ASSERT_NE(snapshot->Pick({}).backend, nullptr);

  EXPECT_EQ(grouped.Sessions()["10.0.0.1"], 40u);
}

TEST(GroupingTest, P2cEvensOutTheSessionsOfIps) {
  GroupedPool grouped;
  for (int ip = 1; ip <= 4; ++ip) {
    for (int port = 1; port <= ip; ++port) grouped.Add(ip, port, 120 / ip);  // 120 each
  }
  const auto snapshot = grouped.Publish(Mode::kP2c);
  std::mt19937_64 random(1);

  for (int i = 0; i < 4'000; ++i) {
    ASSERT_NE(snapshot->Pick({.random = random()}).backend, nullptr);
  }

  for (const auto& [ip, sessions] : grouped.Sessions()) EXPECT_NEAR(sessions, 1'000.0, 20) << ip;
  for (size_t i = 6; i < 10; ++i) EXPECT_NEAR(grouped.pool[i]->load.active, 250.0, 10) << i;
}

TEST(GroupingTest, P2cDrawsAmongEqualPortsOfAnIp) {
  GroupedPool grouped;
  for (int port = 1; port <= 4; ++port) grouped.Add(1, port);
  const auto snapshot = grouped.Publish(Mode::kP2c);
  std::mt19937_64 random(1);
  std::map<const Backend*, int> picks;

  for (int i = 0; i < 400; ++i) {
    Backend* const backend = snapshot->Pick({.random = random()}).backend;
    ++picks[backend];
    Release(&backend->load);
  }

  EXPECT_EQ(picks.size(), 4u);
}

TEST(GroupingTest, OtherModesDoNotLookAtGroups) {
  for (Mode mode : {Mode::kRoundRobin, Mode::kRandom, Mode::kMaglev, Mode::kSourceHash}) {
    GroupedPool one, other;
    for (GroupedPool* grouped : {&one, &other}) {
      for (int port = 1; port <= 3; ++port) grouped->Add(1, port);
      grouped->Add(2, 1);
    }
    const auto with = one.Publish(mode);
    const auto without = other.Publish(mode, {});
    std::mt19937_64 random(1);
    for (int i = 0; i < 100; ++i) {
      const Address client = testing::AddressOf(random() % 65'536);
      const PickRequest request{.client = &client, .random = random()};
      ASSERT_EQ(one.pool.IndexOf(with->Pick(request).backend),
                other.pool.IndexOf(without->Pick(request).backend));
    }
  }
}

}  // namespace
}  // namespace sidelb
