#include "server/control/lease_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

constexpr absl::Duration kTtl = absl::Seconds(10);

class LeaseTableTest : public ::testing::Test {
 protected:
  LeaseTable::Renewal Renew(const std::string& owner, ExpiryAction action = ExpiryAction::kDrain,
                            absl::Duration ttl = kTtl) {
    const auto renewal =
        table_.Renew({.owner = owner, .holder = "h", .ttl = ttl, .on_expiry = action}, now_);
    EXPECT_TRUE(renewal.ok()) << renewal.status();
    return *renewal;
  }
  // The control loop's ticks for that long; what became due.
  LeaseTable::Due Run(absl::Duration time) {
    LeaseTable::Due all;
    for (const absl::Time end = now_ + time; now_ < end;) {
      now_ += LeaseTable::kTick;
      LeaseTable::Due due = table_.Advance(now_);
      all.lapsed.insert(all.lapsed.end(), due.lapsed.begin(), due.lapsed.end());
      all.actions.insert(all.actions.end(), due.actions.begin(), due.actions.end());
      all.has_frozen = all.has_frozen || due.has_frozen;
    }
    return all;
  }
  std::vector<std::string> Codes() {
    std::vector<std::string> codes;
    for (const Condition& condition : table_.GetConditions()) codes.push_back(condition.code);
    return codes;
  }

  LeaseTable table_;
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
};

TEST_F(LeaseTableTest, LapsesAfterItsTtlAndActsAfterItsGrace) {
  const LeaseTable::Renewal renewal = Renew("api:a", ExpiryAction::kRemove);
  EXPECT_TRUE(renewal.is_news());
  EXPECT_EQ(renewal.after.expire_time, now_ + kTtl);
  EXPECT_EQ(renewal.after.grace, kTtl) << "as the ttl";

  EXPECT_TRUE(Run(kTtl - LeaseTable::kTick).lapsed.empty());
  const LeaseTable::Due lapse = Run(LeaseTable::kTick);
  ASSERT_EQ(lapse.lapsed.size(), 1u);
  EXPECT_TRUE(lapse.lapsed[0].is_expired);
  EXPECT_THAT(Codes(), ::testing::ElementsAre("LEASE_EXPIRED"));

  EXPECT_TRUE(Run(kTtl - LeaseTable::kTick).actions.empty());
  EXPECT_THAT(
      Run(LeaseTable::kTick).actions,
      ::testing::ElementsAre(std::pair<std::string, ExpiryAction>("api:a", ExpiryAction::kRemove)));
  EXPECT_FALSE(table_.needs_ticks());
  EXPECT_TRUE(Run(absl::Hours(1)).actions.empty()) << "once";
}

TEST_F(LeaseTableTest, ARenewalBeginsAnewAndIsNoNews) {
  Renew("api:a");
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(Run(kTtl - absl::Seconds(1)).lapsed.empty());
    EXPECT_FALSE(Renew("api:a").is_news());
  }
}

TEST_F(LeaseTableTest, ATimeThatTheDaemonDidNotLiveThroughAgesNobody) {
  Renew("api:a");
  Run(absl::Seconds(1));
  now_ += absl::Hours(5);  // SIGSTOP
  EXPECT_TRUE(Run(kTtl - absl::Seconds(2)).lapsed.empty());
  EXPECT_EQ(Run(absl::Seconds(1)).lapsed.size(), 1u);
}

TEST_F(LeaseTableTest, ALateRenewalTakesBackOnlyWhatWasDone) {
  Renew("api:a");
  Run(kTtl);
  EXPECT_FALSE(Renew("api:a").takes_back) << "nothing was done yet";
  Run(kTtl * 2);
  const LeaseTable::Renewal late = Renew("api:a");
  EXPECT_TRUE(late.takes_back);
  EXPECT_TRUE(late.is_news());
  EXPECT_THAT(Codes(), ::testing::IsEmpty());
}

TEST_F(LeaseTableTest, AnotherHolderNeedsTakeOverAndFencesTheFirst) {
  Renew("api:a");
  RenewLeaseRequest other{.owner = "api:a", .holder = "h2"};
  EXPECT_EQ(Reason(table_.Renew(other, now_).status()), "SESSION_SUPERSEDED");
  other.take_over = true;
  ASSERT_TRUE(table_.Renew(other, now_).ok());

  EXPECT_EQ(table_.List().at(0).holder, "h2");
  EXPECT_EQ(table_.List().at(0).ttl, kTtl) << "absent: as it was";
  EXPECT_EQ(table_.CheckHolder("api:a", "h").code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(table_.CheckHolder("api:a", "h2").ok());
  EXPECT_EQ(table_.CheckHolder("api:b", "h").code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Reason(table_.Renew({.owner = "api:a", .holder = "h", .release = true}, now_).status()),
            "SESSION_SUPERSEDED");
}

TEST_F(LeaseTableTest, ChecksItsTerms) {
  const auto reason = [&](RenewLeaseRequest request) {
    return Reason(table_.Renew(request, now_).status());
  };
  EXPECT_EQ(reason({.owner = "api:a", .holder = "h"}), "TTL_RANGE");
  EXPECT_EQ(reason({.owner = "api:a", .holder = "h", .ttl = absl::Milliseconds(4'999)}),
            "TTL_RANGE");
  EXPECT_EQ(reason({.owner = "api:a", .holder = "h", .ttl = absl::Hours(25)}), "TTL_RANGE");
  EXPECT_EQ(reason({.owner = "api:a", .ttl = kTtl}), "BAD_FIELD");
  EXPECT_EQ(reason({.owner = "api:a", .holder = "h", .ttl = kTtl, .grace = absl::Hours(25)}),
            "BAD_FIELD");
  EXPECT_EQ(reason({.owner = "static", .holder = "h", .ttl = kTtl}), "OWNER_READ_ONLY");
  EXPECT_EQ(reason({.owner = "api:a", .holder = "h", .ttl = absl::Seconds(5)}), "");
  EXPECT_EQ(reason({.owner = "api:b", .holder = "h", .ttl = absl::Hours(24)}), "");
}

TEST_F(LeaseTableTest, ReleasingTwiceIsNoError) {
  Renew("api:a");
  const RenewLeaseRequest release{.owner = "api:a", .holder = "h", .release = true};
  EXPECT_TRUE(table_.Renew(release, now_)->is_news());
  EXPECT_FALSE(table_.Renew(release, now_)->is_news());
  EXPECT_FALSE(table_.needs_ticks());
}

TEST_F(LeaseTableTest, TwoOwnersThatLapseTogetherFreezeAll) {
  Renew("api:a", ExpiryAction::kRemove);
  Run(absl::Seconds(3));
  Renew("api:b", ExpiryAction::kRemove);
  Renew("api:c");
  const LeaseTable::Due due = Run(kTtl * 5);

  EXPECT_TRUE(due.has_frozen);
  EXPECT_THAT(due.actions, ::testing::IsEmpty());
  EXPECT_THAT(Codes(), ::testing::Contains("LEASES_FROZEN"));
}

TEST_F(LeaseTableTest, AFreezeEndsWithOneRenewalAndTheOthersGetTheirGraceAnew) {
  Renew("api:a");
  Renew("api:b");
  Run(kTtl * 5);
  ASSERT_TRUE(table_.is_frozen());

  EXPECT_TRUE(Renew("api:a", ExpiryAction::kDrain, absl::Hours(1)).is_thawed);

  EXPECT_FALSE(table_.is_frozen());
  EXPECT_TRUE(Run(kTtl - LeaseTable::kTick).actions.empty());
  EXPECT_EQ(Run(LeaseTable::kTick).actions.size(), 1u);
}

TEST_F(LeaseTableTest, AnOperatorsReleaseEndsAFreezeToo) {
  Renew("api:a");
  Renew("api:b");
  Run(kTtl * 5);
  const auto released = table_.Renew({.owner = "api:a", .take_over = true, .release = true}, now_);
  ASSERT_TRUE(released.ok());
  EXPECT_TRUE(released->is_thawed);
  EXPECT_EQ(Run(kTtl).actions.size(), 1u);
}

TEST_F(LeaseTableTest, LapsesFarApartDoNotFreeze) {
  Renew("api:a");
  Run(kTtl * 2);  // a is done
  Renew("api:b");
  const LeaseTable::Due due = Run(kTtl * 2);
  EXPECT_FALSE(due.has_frozen);
  EXPECT_EQ(due.actions.size(), 1u);
}

TEST_F(LeaseTableTest, AfterARestartEachBeginsAnew) {
  Renew("api:a");
  Run(kTtl * 3);
  LeaseTable restarted;
  restarted.Restore(table_.List(), now_);
  ASSERT_EQ(restarted.List().size(), 1u);
  EXPECT_FALSE(restarted.List()[0].is_expired);
  EXPECT_EQ(restarted.List()[0].expire_time, now_ + kTtl);
}

}  // namespace
}  // namespace sidelb::control
