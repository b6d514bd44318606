// One domain of a pool over time: each outcome with its rule, and what people are told.
#include "server/providers/ring_domain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "fmt/format.h"
#include "tests/unit/control/batch_support.h"

namespace sidelb::providers {
namespace {

using control::At;
using control::BackendSpec;
using control::Condition;
using control::PoolReading;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);

DnsResult Answer(const std::vector<std::string>& hosts, int ttl = 20) {
  DnsResult result{.outcome = DnsOutcome::kAnswer};
  for (const std::string& host : hosts) {
    result.targets.push_back({.address = At(host + ":0"), .ttl = absl::Seconds(ttl)});
  }
  return result;
}
const DnsResult kServfail{.outcome = DnsOutcome::kFailure, .error = "A web.example: SERVFAIL"};
const DnsResult kNoDomain{.outcome = DnsOutcome::kNoDomain, .error = "NXDOMAIN"};
const DnsResult kEmpty{.outcome = DnsOutcome::kEmpty, .error = "no such record"};

class RingDomainTest : public ::testing::Test {
 protected:
  // A lookup at `now_` with this result.
  std::optional<RingDomain::Line> Give(const DnsResult& result) {
    domain_.StartLookup(now_);
    return domain_.OnResult(result, now_, 0);
  }
  // Plans if that is due; makes the claims, which serve at once.
  ClaimPlan Plan() {
    if (!domain_.IsPlanDue(now_)) return {};
    ClaimPlan plan = domain_.Plan(pool_, now_);
    if (plan.is_change) {
      std::erase_if(pool_.entries, [](const auto& entry) { return !entry.has_others; });
      for (const BackendSpec& claim : plan.claims) {
        pool_.entries.push_back({.address = claim.address, .serves = true, .mine = claim});
      }
    }
    return plan;
  }
  size_t mine() const {
    return static_cast<size_t>(std::count_if(pool_.entries.begin(), pool_.entries.end(),
                                             [](const auto& e) { return e.mine.has_value(); }));
  }
  void AddStatic(std::string_view at) {
    pool_.entries.push_back({.address = At(at), .serves = true, .has_others = true});
  }
  std::vector<std::string> Codes() const {
    std::vector<std::string> codes;
    for (const Condition& condition : domain_.GetConditions()) codes.push_back(condition.code);
    return codes;
  }
  absl::Duration ToNextLookup() const { return domain_.next_event() - now_; }

  absl::Time now_ = kStart;
  PoolReading pool_;  // not probed
  RingDomain domain_{"web", {.domain = "web.example", .port = 80}, {}, kStart};
};

TEST_F(RingDomainTest, AsksAtOnceAndAgainWhenTheAnswerIsOld) {
  EXPECT_TRUE(domain_.IsLookupDue(now_));
  Give(Answer({"10.0.0.1"}));
  Plan();
  EXPECT_EQ(ToNextLookup(), absl::Seconds(20));
  EXPECT_FALSE(domain_.IsLookupDue(now_ + absl::Seconds(19)));
  EXPECT_TRUE(domain_.IsLookupDue(now_ + absl::Seconds(20)));
}

TEST_F(RingDomainTest, DoesNotAskTwiceAtATime) {
  domain_.StartLookup(now_);
  EXPECT_FALSE(domain_.IsLookupDue(now_ + absl::Hours(1)));
}

TEST_F(RingDomainTest, AFailureKeepsTheSetAndIsTriedAgainMoreAndMoreSlowly) {
  Give(Answer({"10.0.0.1"}));
  Plan();
  std::vector<absl::Duration> delays;
  for (int i = 0; i < 6; ++i) {
    Give(kServfail);
    EXPECT_FALSE(Plan().is_change);
    delays.push_back(ToNextLookup());
    now_ += ToNextLookup();
  }
  EXPECT_THAT(delays, ElementsAre(absl::Seconds(1), absl::Seconds(2), absl::Seconds(4),
                                  absl::Seconds(8), absl::Seconds(10), absl::Seconds(10)));
  EXPECT_EQ(mine(), 1u);
}

TEST_F(RingDomainTest, AFailureIsAConditionUntilItResolvesAgain) {
  EXPECT_THAT(Codes(), IsEmpty());
  Give(kServfail);
  now_ += absl::Seconds(1);
  Give(kServfail);
  const std::vector<Condition> conditions = domain_.GetConditions();
  ASSERT_THAT(conditions, SizeIs(1));
  EXPECT_EQ(conditions[0].code, "DNS_FAILING");
  EXPECT_EQ(conditions[0].detail, "web/web.example: A web.example: SERVFAIL");
  EXPECT_EQ(conditions[0].since, kStart);
  Give(Answer({"10.0.0.1"}));
  EXPECT_THAT(Codes(), IsEmpty());
}

TEST_F(RingDomainTest, TheLogTellsAChangeOfOutcomeOnce) {
  EXPECT_THAT(Give(Answer({"10.0.0.1"}))->text, HasSubstr("web/web.example: 1 backends"));
  EXPECT_FALSE(Give(Answer({"10.0.0.1", "10.0.0.2"})));
  const auto line = Give(kServfail);
  ASSERT_TRUE(line);
  EXPECT_TRUE(line->is_warning);
  EXPECT_THAT(line->text, HasSubstr("SERVFAIL"));
  EXPECT_FALSE(Give(kServfail));
  EXPECT_THAT(Give(kNoDomain)->text, HasSubstr("NXDOMAIN"));
  EXPECT_FALSE(Give(kNoDomain));
  EXPECT_TRUE(Give(Answer({"10.0.0.1"})));
}

TEST_F(RingDomainTest, NoDomainIsBelievedAfterThirtySecondsWhereOthersServe) {
  AddStatic("10.9.0.1:80");
  Give(Answer({"10.0.0.1"}));
  Plan();
  for (const DnsResult& empty : {kNoDomain, kEmpty}) {
    Give(empty);
    now_ += absl::Seconds(29);
    Give(empty);
    EXPECT_FALSE(Plan().is_change);
    EXPECT_EQ(mine(), 1u);
    now_ += absl::Seconds(1);
    EXPECT_TRUE(Plan().is_change);
    EXPECT_EQ(mine(), 0u);
    EXPECT_THAT(Codes(), ElementsAre("DNS_FAILING"));
    Give(Answer({"10.0.0.1"}));
    Plan();
    EXPECT_EQ(mine(), 1u);
  }
}

TEST_F(RingDomainTest, AnEmptySetIsHeldWhereNobodyElseServes) {
  Give(Answer({"10.0.0.1", "10.0.0.2"}));
  Plan();
  Give(kNoDomain);
  now_ += absl::Seconds(30);
  EXPECT_FALSE(Plan().is_change);
  EXPECT_EQ(mine(), 2u);
  EXPECT_THAT(Codes(), ElementsAre("DNS_FAILING", "MASS_REMOVAL_HELD"));
  const auto line = domain_.TakeHoldLine();
  ASSERT_TRUE(line);
  EXPECT_THAT(line->text, HasSubstr("2 removals are held"));
  now_ += absl::Seconds(1);
  Plan();
  EXPECT_FALSE(domain_.TakeHoldLine());  // told once

  AddStatic("10.9.0.1:80");
  now_ += absl::Seconds(1);
  Plan();
  EXPECT_EQ(mine(), 0u);
  EXPECT_THAT(Codes(), ElementsAre("DNS_FAILING"));
  EXPECT_TRUE(domain_.TakeHoldLine());
}

TEST_F(RingDomainTest, AFailureBeginsTheWaitForAnEmptyAnswerAnew) {
  AddStatic("10.9.0.1:80");
  Give(Answer({"10.0.0.1"}));
  Plan();
  Give(kNoDomain);
  now_ += absl::Seconds(20);
  Give(kServfail);
  now_ += absl::Seconds(5);
  Give(kNoDomain);
  now_ += absl::Seconds(20);
  Plan();
  EXPECT_EQ(mine(), 1u);
  now_ += absl::Seconds(10);
  Plan();
  EXPECT_EQ(mine(), 0u);
}

TEST_F(RingDomainTest, ADomainThatIsNotThereYetIsLookedForOften) {
  absl::Duration longest;
  for (int i = 0; i < 10; ++i) {
    Give(kNoDomain);
    longest = std::max(longest, ToNextLookup());
    now_ += ToNextLookup();
  }
  EXPECT_EQ(longest, absl::Seconds(5));
}

TEST_F(RingDomainTest, AFailedConnectAsksAgainButNotMoreThanOnceASecond) {
  Give(Answer({"10.0.0.1"}));
  Plan();
  now_ += absl::Milliseconds(200);
  domain_.OnConnectFailure(now_);
  EXPECT_EQ(ToNextLookup(), absl::Milliseconds(800));
  now_ += absl::Seconds(5);
  domain_.OnConnectFailure(now_);
  EXPECT_TRUE(domain_.IsLookupDue(now_));
}

TEST_F(RingDomainTest, RemovalsThatWaitForProbesAreLookedAtSoon) {
  pool_.is_probed = true;
  pool_.entries.push_back({.address = At("10.0.0.1:80"),
                           .serves = true,
                           .mine = BackendSpec{.address = At("10.0.0.1:80")}});
  Give(Answer({"10.0.0.2"}));
  EXPECT_EQ(domain_.Plan(pool_, now_).hold, Hold::kProbes);
  EXPECT_EQ(domain_.next_event() - now_, absl::Milliseconds(100));
  EXPECT_THAT(Codes(), IsEmpty());
}

TEST_F(RingDomainTest, TooManyBackendsKeepTheSet) {
  Give(Answer({"10.0.0.1"}));
  Plan();
  DnsResult result{.outcome = DnsOutcome::kAnswer};
  for (uint32_t i = 0; i <= control::kMaxBackends; ++i) {
    result.targets.push_back(
        {.address = At(fmt::format("10.{}.{}.{}:0", 1 + (i >> 16), i >> 8 & 255, i & 255))});
  }
  Give(result);
  EXPECT_FALSE(Plan().is_change);
  ASSERT_THAT(domain_.GetConditions(), SizeIs(1));
  EXPECT_THAT(domain_.GetConditions()[0].detail, HasSubstr("allowed: at most 65536"));
}

TEST_F(RingDomainTest, ARefusalIsToldOnceAndIsACondition) {
  Give(Answer({"10.0.0.1"}));
  EXPECT_TRUE(domain_.OnApplied(absl::ResourceExhaustedError("too many"), now_));
  EXPECT_FALSE(domain_.OnApplied(absl::ResourceExhaustedError("too many"), now_));
  EXPECT_THAT(domain_.GetConditions(),
              ElementsAre(Field(&Condition::detail, "web/web.example: too many")));
  EXPECT_FALSE(domain_.OnApplied(absl::OkStatus(), now_));
  EXPECT_THAT(Codes(), IsEmpty());
}

TEST_F(RingDomainTest, AnAnswerOfUnusableAddressesIsEmpty) {
  Give(Answer({"0.0.0.0"}));
  EXPECT_THAT(Codes(), ElementsAre("DNS_FAILING"));
  EXPECT_FALSE(Plan().is_change);
}

}  // namespace
}  // namespace sidelb::providers
