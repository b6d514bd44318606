// What records become, when to ask again, and which removals are made.
#include "server/providers/ring_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "fmt/format.h"
#include "tests/unit/control/batch_support.h"

namespace sidelb::providers {
namespace {

using control::At;
using control::BackendSpec;
using control::PoolReading;
using control::RecordType;
using control::RingDomainSpec;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

DnsTarget Target(std::string_view at, absl::Duration ttl = absl::Seconds(10), uint16_t priority = 0,
                 uint16_t weight = 0) {
  return {.address = At(at), .ttl = ttl, .priority = priority, .weight = weight};
}

// ---- Records ----

TEST(BackendsOfTest, TakeThePortAndTheDefaultsOfTheDomain) {
  const RingDomainSpec spec{
      .domain = "web.example", .port = 80, .defaults = BackendSpec{.weight = 7, .zone = "a"}};
  const auto backends = BackendsOf(spec, {Target("10.0.0.2:0"), Target("10.0.0.1:0")});
  ASSERT_EQ(backends.size(), 2u);
  EXPECT_EQ(backends[0], (BackendSpec{.address = At("10.0.0.1:80"), .weight = 7, .zone = "a"}));
  EXPECT_EQ(backends[1].address, At("10.0.0.2:80"));
}

TEST(BackendsOfTest, DuplicatesCollapseAndWildcardsAreLeftOut) {
  const auto backends = BackendsOf(
      {.domain = "web", .port = 80},
      {Target("10.0.0.1:0"), Target("10.0.0.1:0"), Target("0.0.0.0:0"), Target("[::]:0")});
  ASSERT_EQ(backends.size(), 1u);
  EXPECT_EQ(backends[0].address, At("10.0.0.1:80"));
}

TEST(BackendsOfTest, SrvBringsPortWeightAndTheOrderOfPriorities) {
  std::vector<DnsTarget> targets;
  for (uint16_t i = 0; i < 10; ++i) {
    targets.push_back(Target(fmt::format("10.0.0.{}:8{}", i + 1, i), absl::Seconds(1),
                             static_cast<uint16_t>(100 * i), i));
  }
  const auto backends =
      BackendsOf({.domain = "_web._tcp.example", .record = RecordType::kSrv}, targets);
  ASSERT_EQ(backends.size(), 10u);
  EXPECT_EQ(backends[0].weight, 1u);  // 0 means the least in DNS, none at all here
  EXPECT_EQ(backends[5].weight, 5u);
  EXPECT_EQ(backends[5].address, At("10.0.0.6:85"));
  EXPECT_EQ(backends[0].priority, 0u);
  EXPECT_EQ(backends[5].priority, 5u);
  EXPECT_EQ(backends[9].priority, control::kMaxPriority);
}

// ---- Time ----

TEST(RefreshDelayTest, IsTheShortestTtlWithinBounds) {
  const RingDomainSpec spec{.domain = "web", .port = 80};
  const auto delay = [&](absl::Duration a, absl::Duration b) {
    return RefreshDelay(spec, {Target("10.0.0.1:0", a), Target("10.0.0.2:0", b)}, 0);
  };
  EXPECT_EQ(delay(absl::Seconds(30), absl::Seconds(20)), absl::Seconds(20));
  EXPECT_EQ(delay(absl::ZeroDuration(), absl::Seconds(20)), absl::Seconds(1));
  EXPECT_EQ(delay(absl::Hours(1), absl::Hours(2)), absl::Seconds(60));
}

TEST(RefreshDelayTest, BoundsThatAreWrittenReplaceTheDefaults) {
  RingDomainSpec spec{.domain = "web", .port = 80, .max_ttl = absl::Milliseconds(500)};
  EXPECT_EQ(RefreshDelay(spec, {Target("10.0.0.1:0")}, 0), absl::Milliseconds(500));
  spec = {.domain = "web", .port = 80, .min_ttl = absl::Minutes(5)};
  EXPECT_EQ(RefreshDelay(spec, {Target("10.0.0.1:0")}, 0), absl::Minutes(5));
}

TEST(RefreshDelayTest, ChanceMakesItUpToATenthLater) {
  const RingDomainSpec spec{.domain = "web", .port = 80};
  EXPECT_EQ(RefreshDelay(spec, {Target("10.0.0.1:0")}, 0.5), absl::Milliseconds(10'500));
}

TEST(RetryDelayTest, DoublesUpToTheLongest) {
  const auto delay = [](uint32_t attempt) {
    return RetryDelay(absl::Seconds(1), absl::Seconds(10), attempt, 0);
  };
  EXPECT_EQ(delay(1), absl::Seconds(1));
  EXPECT_EQ(delay(2), absl::Seconds(2));
  EXPECT_EQ(delay(4), absl::Seconds(8));
  EXPECT_EQ(delay(5), absl::Seconds(10));
  EXPECT_EQ(delay(4'000'000'000), absl::Seconds(10));
}

// ---- Claims ----

constexpr char kA[] = "10.0.0.1:80", kB[] = "10.0.0.2:80", kC[] = "10.0.0.3:80";
constexpr char kV6[] = "[2001:db8::1]:80";

PoolReading::Entry Entry(std::string_view at) { return {.address = At(at)}; }
PoolReading::Entry Mine(std::string_view at, bool serves = true) {
  return {.address = At(at), .serves = serves, .mine = BackendSpec{.address = At(at)}};
}
PoolReading::Entry Warming(std::string_view at) {
  PoolReading::Entry entry = Mine(at, false);
  entry.is_warming = true;
  return entry;
}
PoolReading::Entry Other(std::string_view at, bool serves = true) {
  return {.address = At(at), .serves = serves, .has_others = true};
}
PoolReading::Entry Both(std::string_view at) {
  PoolReading::Entry entry = Mine(at);
  entry.has_others = true;
  return entry;
}
PoolReading Pool(std::vector<PoolReading::Entry> entries, bool is_probed = true) {
  return {.is_probed = is_probed, .entries = std::move(entries)};
}
WantedClaims Want(const std::vector<std::string>& at) {
  WantedClaims wanted;
  for (const std::string& one : at) wanted.backends.push_back({.address = At(one)});
  return wanted;
}
std::vector<std::string> Claims(const ClaimPlan& plan) {
  std::vector<std::string> claims;
  for (const BackendSpec& backend : plan.claims) claims.push_back(backend.address.ToString());
  return claims;
}

TEST(PlanClaimsTest, TheFirstAnswerIsTakenAsItIs) {
  const ClaimPlan plan = PlanClaims(Pool({}), Want({kA, kB}));
  EXPECT_TRUE(plan.is_change);
  EXPECT_THAT(Claims(plan), ElementsAre(kA, kB));
  EXPECT_EQ(plan.hold, Hold::kNone);
}

TEST(PlanClaimsTest, TheSameAnswerChangesNothing) {
  const ClaimPlan plan = PlanClaims(Pool({Mine(kA), Mine(kB)}), Want({kA, kB}));
  EXPECT_FALSE(plan.is_change);
}

TEST(PlanClaimsTest, OtherAttributesAreAChange) {
  WantedClaims wanted = Want({kA});
  wanted.backends[0].weight = 5;
  EXPECT_TRUE(PlanClaims(Pool({Mine(kA)}), wanted).is_change);
}

TEST(PlanClaimsTest, ASetThatShrinksShrinksAtOnce) {
  const ClaimPlan plan = PlanClaims(Pool({Mine(kA), Mine(kB)}), Want({kB}));
  EXPECT_TRUE(plan.is_change);
  EXPECT_THAT(Claims(plan), ElementsAre(kB));
}

TEST(PlanClaimsTest, RemovalsWaitForTheFirstProbeOfWhatIsAdded) {
  ClaimPlan plan = PlanClaims(Pool({Mine(kA)}), Want({kB}));
  EXPECT_TRUE(plan.is_change);
  EXPECT_THAT(Claims(plan), ElementsAre(kA, kB));
  EXPECT_EQ(plan.hold, Hold::kProbes);
  EXPECT_EQ(plan.held, 1u);

  plan = PlanClaims(Pool({Mine(kA), Warming(kB)}), Want({kB}));
  EXPECT_FALSE(plan.is_change);
  EXPECT_EQ(plan.hold, Hold::kProbes);

  plan = PlanClaims(Pool({Mine(kA), Mine(kB)}), Want({kB}));
  EXPECT_TRUE(plan.is_change);
  EXPECT_THAT(Claims(plan), ElementsAre(kB));
  EXPECT_EQ(plan.hold, Hold::kNone);
}

TEST(PlanClaimsTest, APoolThatIsNotProbedFlipsInOneStep) {
  const ClaimPlan plan = PlanClaims(Pool({Mine(kA)}, /*is_probed=*/false), Want({kB}));
  EXPECT_TRUE(plan.is_change);
  EXPECT_THAT(Claims(plan), ElementsAre(kB));
}

TEST(PlanClaimsTest, TheLastOneThatServesStaysWhenWhatIsAddedFails) {
  const ClaimPlan plan = PlanClaims(Pool({Mine(kA), Mine(kB, false)}), Want({kB}));
  EXPECT_FALSE(plan.is_change);
  EXPECT_EQ(plan.hold, Hold::kGuard);
  EXPECT_EQ(plan.held, 1u);
}

TEST(PlanClaimsTest, OneThatServesIsEnoughToLetOthersGo) {
  const ClaimPlan plan = PlanClaims(Pool({Mine(kA), Mine(kB, false), Other(kC)}), Want({kB}));
  EXPECT_THAT(Claims(plan), ElementsAre(kB));
}

TEST(PlanClaimsTest, WhereNobodyServesAnAnswerIsBelieved) {
  const ClaimPlan plan = PlanClaims(Pool({Mine(kA, false), Mine(kB, false)}), Want({kB}));
  EXPECT_THAT(Claims(plan), ElementsAre(kB));
}

TEST(PlanClaimsTest, ADeadOneGoesWithoutWaiting) {
  const ClaimPlan plan = PlanClaims(Pool({Mine(kA, false), Mine(kB)}), Want({kB, kC}));
  EXPECT_THAT(Claims(plan), ElementsAre(kB, kC));
}

TEST(PlanClaimsTest, AnEmptySetNeedsAnotherBackendThatServes) {
  ClaimPlan plan = PlanClaims(Pool({Mine(kA)}), Want({}));
  EXPECT_FALSE(plan.is_change);
  EXPECT_EQ(plan.hold, Hold::kGuard);
  // Not even when those that are there do not serve: the same fault may have hit DNS.
  plan = PlanClaims(Pool({Mine(kA, false)}), Want({}));
  EXPECT_EQ(plan.hold, Hold::kGuard);
  plan = PlanClaims(Pool({Mine(kA), Other(kB, false)}), Want({}));
  EXPECT_EQ(plan.hold, Hold::kGuard);
  plan = PlanClaims(Pool({Mine(kA), Other(kB)}), Want({}));
  EXPECT_TRUE(plan.is_change);
  EXPECT_THAT(Claims(plan), IsEmpty());
}

TEST(PlanClaimsTest, ABackendThatOthersClaimTooIsNoLoss) {
  const ClaimPlan plan = PlanClaims(Pool({Both(kA)}), Want({}));
  EXPECT_TRUE(plan.is_change);
  EXPECT_THAT(Claims(plan), IsEmpty());
  EXPECT_EQ(plan.hold, Hold::kNone);
}

TEST(PlanClaimsTest, ABackendOfOthersIsClaimedToo) {
  const ClaimPlan plan = PlanClaims(Pool({Other(kA)}), Want({kA}));
  EXPECT_TRUE(plan.is_change);
  EXPECT_THAT(Claims(plan), ElementsAre(kA));
}

TEST(PlanClaimsTest, WhatIsNotKnownOfAFamilyStays) {
  WantedClaims wanted = Want({kB});
  wanted.has_all_v6 = false;
  const ClaimPlan plan = PlanClaims(Pool({Mine(kA), Mine(kB), Mine(kV6)}), wanted);
  EXPECT_THAT(Claims(plan), ElementsAre(kB, kV6));
}

TEST(PlanClaimsTest, BackendsOfOthersAreNeverTouched) {
  const ClaimPlan plan = PlanClaims(Pool({Mine(kA), Other(kB), Entry(kC)}), Want({kA}));
  EXPECT_FALSE(plan.is_change);
  EXPECT_THAT(Claims(plan), ElementsAre(kA));
}

}  // namespace
}  // namespace sidelb::providers
