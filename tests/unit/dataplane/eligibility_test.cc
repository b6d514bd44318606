#include "dataplane/pool/eligibility.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::TestPool;

constexpr AdminState kAdminStates[] = {AdminState::kEnabled, AdminState::kDraining,
                                       AdminState::kDisabled};
constexpr Health kHealths[] = {Health::kUnknown, Health::kHealthy, Health::kUnhealthy};

TEST(EligibilityTest, TiersFollowTheTruthTable) {
  for (AdminState admin : kAdminStates) {
    for (Health health : kHealths) {
      for (bool is_ejected : {false, true}) {
        for (uint32_t weight : {0u, 1u, 65'535u}) {
          const EligibilityInput input{
              .admin_state = admin, .health = health, .is_ejected = is_ejected, .weight = weight};
          int expected = kNeverEligible;
          if (admin == AdminState::kEnabled && !is_ejected && weight > 0) {
            expected = health == Health::kHealthy ? 0 : health == Health::kUnknown ? 1 : 2;
          }
          EXPECT_EQ(EligibilityTier(input), expected)
              << static_cast<int>(admin) << static_cast<int>(health) << is_ejected << weight;
        }
      }
    }
  }
}

TEST(EligibilityTest, AReasonIsGivenExactlyWhenTheTierDoesNotServe) {
  for (AdminState admin : kAdminStates) {
    for (Health health : kHealths) {
      for (bool is_ejected : {false, true}) {
        for (uint32_t weight : {0u, 7u}) {
          for (uint8_t serving : {0, 1, 2}) {
            const EligibilityInput input{
                .admin_state = admin, .health = health, .is_ejected = is_ejected, .weight = weight};
            EXPECT_EQ(WhyIneligible(input, serving) == IneligibleReason::kNone,
                      EligibilityTier(input) <= serving);
          }
        }
      }
    }
  }
}

TEST(EligibilityTest, TheOperatorsWordComesFirstAmongReasons) {
  EligibilityInput input{.admin_state = AdminState::kDisabled,
                         .health = Health::kUnhealthy,
                         .is_ejected = true,
                         .weight = 0};
  EXPECT_EQ(WhyIneligible(input, 0), IneligibleReason::kDisabled);
  input.admin_state = AdminState::kDraining;
  EXPECT_EQ(WhyIneligible(input, 0), IneligibleReason::kDraining);
  input.admin_state = AdminState::kEnabled;
  EXPECT_EQ(WhyIneligible(input, 0), IneligibleReason::kZeroWeight);
  input.weight = 1;
  EXPECT_EQ(WhyIneligible(input, 0), IneligibleReason::kEjected);
  input.is_ejected = false;
  EXPECT_EQ(WhyIneligible(input, 0), IneligibleReason::kUnhealthy);
  input.health = Health::kUnknown;
  EXPECT_EQ(WhyIneligible(input, 0), IneligibleReason::kStandby);
  EXPECT_EQ(WhyIneligible(input, 1), IneligibleReason::kNone);
}

TEST(EligibilityTest, ReasonsHaveTheWordsOfTheApi) {
  const std::vector<std::string> words = {"none", "disabled",  "draining", "removed", "zero_weight",
                                          "full", "unhealthy", "ejected",  "standby"};
  for (size_t i = 0; i < words.size(); ++i) {
    EXPECT_EQ(IneligibleReasonName(static_cast<IneligibleReason>(i)), words[i]);
  }
}

// ---- What a snapshot makes of it ----

std::set<int> Eligible(const TestPool& pool, const PoolSnapshot& snapshot) {
  std::set<int> indexes;
  for (const Member& member : snapshot.eligible()) indexes.insert(pool.IndexOf(member.backend));
  return indexes;
}

TEST(PoolSnapshotTest, HealthyOnesServeAloneWhileThereIsOne) {
  TestPool pool({1, 1, 1, 1});
  pool.members[0].health = Health::kUnknown;
  pool.members[2].health = Health::kUnhealthy;
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  EXPECT_EQ(snapshot->serving_tier(), 0);
  EXPECT_EQ(Eligible(pool, *snapshot), (std::set<int>{1, 3}));
  EXPECT_EQ(snapshot->members().size(), 4u);
}

TEST(PoolSnapshotTest, UnknownOnesServeWhenNoneIsHealthy) {
  TestPool pool({1, 1, 1});
  pool.members[0].health = Health::kUnknown;
  pool.members[1].health = Health::kUnhealthy;
  pool.members[2].is_ejected = true;
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  EXPECT_EQ(snapshot->serving_tier(), 1);
  EXPECT_EQ(Eligible(pool, *snapshot), std::set<int>{0});
}

TEST(PoolSnapshotTest, UnhealthyOnesDoNotServe) {
  TestPool pool({1, 1});
  for (Member& member : pool.members) member.health = Health::kUnhealthy;
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  EXPECT_TRUE(snapshot->eligible().empty());
  EXPECT_EQ(snapshot->Pick({}).error, PickError::kNoBackend);
}

TEST(PoolSnapshotTest, DrainingAndDisabledOnesNeverServe) {
  TestPool pool({1, 1, 1, 0});
  pool.members[0].admin_state = AdminState::kDraining;
  pool.members[1].admin_state = AdminState::kDisabled;
  pool.members[2].is_ejected = true;
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  EXPECT_TRUE(snapshot->eligible().empty());
  EXPECT_EQ(snapshot->Pick({}).error, PickError::kNoBackend);
}

TEST(PoolSnapshotTest, NoModeEverPicksAnIneligibleBackend) {
  for (Mode mode : {Mode::kRoundRobin, Mode::kLeastConnections, Mode::kP2c, Mode::kRandom,
                    Mode::kSourceHash, Mode::kMaglev}) {
    TestPool pool({5, 1, 3, 0, 2, 4, 1});
    pool.members[0].admin_state = AdminState::kDraining;
    pool.members[1].admin_state = AdminState::kDisabled;
    pool.members[2].is_ejected = true;
    pool.members[4].health = Health::kUnhealthy;
    pool.members[5].health = Health::kUnknown;
    const auto snapshot = pool.Build(mode);
    const Address client = testing::AddressOf(77);
    for (uint64_t i = 0; i < 200; ++i) {
      const PickResult picked = snapshot->Pick({.client = &client, .random = i * i});
      EXPECT_EQ(pool.IndexOf(picked.backend), 6) << ModeName(mode);
    }
    EXPECT_EQ(pool[6]->load.active, 200u);
  }
}

TEST(PoolSnapshotTest, KeepsTheOrderOfItsMembers) {
  TestPool pool({1, 1, 1, 1});
  std::swap(pool.members[0], pool.members[3]);
  pool.members[1].admin_state = AdminState::kDisabled;
  const auto snapshot = pool.Build(Mode::kRoundRobin);
  ASSERT_EQ(snapshot->eligible().size(), 3u);
  EXPECT_EQ(pool.IndexOf(snapshot->eligible()[0].backend), 3);
  EXPECT_EQ(pool.IndexOf(snapshot->eligible()[1].backend), 2);
  EXPECT_EQ(pool.IndexOf(snapshot->eligible()[2].backend), 0);
}

TEST(ModeTest, EveryModeIsParsedFromItsName) {
  for (Mode mode : {Mode::kRoundRobin, Mode::kLeastConnections, Mode::kP2c, Mode::kRandom,
                    Mode::kSourceHash, Mode::kMaglev}) {
    EXPECT_EQ(ParseMode(ModeName(mode)), mode);
  }
  EXPECT_EQ(ParseMode("ROUND_ROBIN"), Mode::kRoundRobin);
  EXPECT_EQ(ParseMode("leastconn"), Mode::kLeastConnections);
  EXPECT_EQ(ParseMode(""), std::nullopt);
  EXPECT_EQ(ParseMode("round robin"), std::nullopt);
}

}  // namespace
}  // namespace sidelb
