// Rules of batches that callers rely on: which errors, which counts, what a wait is for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const BackendKey kFirst{"web", At("10.0.0.1:80")};

class BatchRulesTest : public ::testing::Test {
 protected:
  BatchRulesTest() {
    state_.revision = 100;
    Good(Ops({Pool("web"), Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80")})}));
  }

  Change Good(const ApplyRequest& request) {
    absl::StatusOr<Change> change = ApplyBatch(state_, request);
    EXPECT_TRUE(change.ok()) << change.status();
    if (!change.ok()) return {};
    state_ = change->next;
    return *std::move(change);
  }
  absl::Status Bad(const ApplyRequest& request) {
    absl::StatusOr<Change> change = ApplyBatch(state_, request);
    EXPECT_FALSE(change.ok());
    return change.status();
  }
  const BackendObject& First() { return *state_.FindBackend("web", kFirst.second); }
  static Op Clear() {
    return {.op = SetOverride{.pool = "web", .selector = {.all = true}, .clear = true}};
  }

  DesiredState state_;
};

// ---- Errors ----

TEST_F(BatchRulesTest, ExpectedRevisionsAreThoseBeforeTheBatch) {
  Op upsert = Upsert("web", {B("10.0.0.3:80")});
  Op mode{.op = SetMode{"web", Mode::kLeastConnections}};
  upsert.expected_revision = mode.expected_revision = 101;
  Good(Ops({upsert, mode}));

  const absl::Status status = Bad(Ops({mode}));
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(GetErrorDetails(status)->metadata.at("current"), "102");
  EXPECT_EQ(GetErrorDetails(status)->metadata.at("expected"), "101");
  EXPECT_EQ(Field(status), "ops[0].expected_revision");
}

TEST_F(BatchRulesTest, AListenerHasARevisionOfItsOwn) {
  Good(Ops({Listener("http", "0.0.0.0:80", "web")}));
  Good(Ops({Upsert("web", {B("10.0.0.3:80")})}));
  Op remove{.op = RemoveListener{"http"}, .expected_revision = 102};
  EXPECT_TRUE(Good(Ops({remove})).has_changed);
}

TEST_F(BatchRulesTest, AListenerOrPoolNamedTwiceIsAnError) {
  const Op put = Listener("http", "0.0.0.0:80", "web");
  EXPECT_EQ(Reason(Bad(Ops({put, {.op = RemoveListener{"http"}}}))), "DUPLICATE_TARGET");
  EXPECT_EQ(Reason(Bad(Ops({put, put}))), "DUPLICATE_TARGET");
  EXPECT_EQ(Reason(Bad(Ops({Pool("new"), {.op = RemovePool{"new"}}}))), "DUPLICATE_TARGET");
  const absl::Status status = Bad(Ops({Pool("web"), {.op = SetMode{"web", Mode::kRoundRobin}}}));
  EXPECT_EQ(Reason(status), "DUPLICATE_TARGET");
  EXPECT_EQ(Field(status), "ops[1].set_mode.pool");
}

TEST_F(BatchRulesTest, ReplaceSpeaksOfAllMyBackends) {
  EXPECT_EQ(Reason(Bad(Ops({Upsert("web", {B("10.0.0.3:80")}), Replace("web", {})}))),
            "DUPLICATE_TARGET");
  EXPECT_EQ(Reason(Bad(Ops({Replace("web", {}), Replace("web", {B("10.0.0.1:80")})}))),
            "DUPLICATE_TARGET");
}

TEST_F(BatchRulesTest, ABatchThatAddsAfterAReplaceIsRefusedTheFirstTimeToo) {
  const absl::Status status =
      Bad(Ops({Replace("web", {B("10.0.0.1:80")}), Upsert("web", {B("10.0.0.9:80")})}));
  EXPECT_EQ(Reason(status), "DUPLICATE_TARGET");
  EXPECT_EQ(Field(status), "ops[1].upsert_backends.backends");
  EXPECT_EQ(Reason(Bad(Ops({Replace("web", {}), Replace("web", {B("10.0.0.9:80")})}))),
            "DUPLICATE_TARGET");
}

TEST_F(BatchRulesTest, HealthChecksNameTheField) {
  const auto with = [](auto change) {
    Op op = Pool("p");
    PoolSpec& spec = std::get<PutPool>(op.op).spec;
    spec.health_check.emplace();
    change(spec);
    return Ops({op});
  };
  const std::string path = "ops[0].put_pool.health_check";
  EXPECT_EQ(Field(Bad(with([](PoolSpec& s) { s.health_check->interval = absl::ZeroDuration(); }))),
            path + ".interval");
  EXPECT_EQ(Field(Bad(with([](PoolSpec& s) { s.health_check->interval = absl::Milliseconds(5); }))),
            path + ".interval");
  EXPECT_EQ(Field(Bad(with([](PoolSpec& s) { s.health_check->rise = 0; }))), path + ".rise");
  EXPECT_EQ(Field(Bad(with([](PoolSpec& s) { s.health_check->fall = 101; }))), path + ".fall");
  EXPECT_EQ(Field(Bad(with([](PoolSpec& s) { s.health_check->port = 70'000; }))), path + ".port");
  EXPECT_EQ(Field(Bad(with([](PoolSpec& s) { s.health_check->expect = "OK"; }))), path + ".expect");
  EXPECT_EQ(Field(Bad(with([](PoolSpec& s) {
              s.health_check->kind = HealthCheckKind::kUdp;
              s.health_check->send = "ping";
            }))),
            path + ".expect");
  EXPECT_EQ(Field(Bad(with([](PoolSpec& s) { s.panic_percent = 101; }))),
            "ops[0].put_pool.panic_percent");
  BackendSpec backend = B("10.0.0.1:80");
  backend.priority = 8;
  EXPECT_EQ(Field(Bad(Ops({Upsert("web", {backend})}))),
            "ops[0].upsert_backends.backends[0].priority");
}

TEST_F(BatchRulesTest, HealthOverridesMergeWithTheRest) {
  Good(Ops({Impose("web", {kFirst.second}, {.weight = 5})}));
  Good(Ops({Impose("web", {kFirst.second}, {.health = HealthOverride::kForceHealthy})}));
  EXPECT_EQ(First().override->weight, 5u);
  EXPECT_EQ(First().override->health, HealthOverride::kForceHealthy);
  Good(Ops({{.op = SetOverride{.pool = "web", .selector = {.all = true}, .clear_health = true}}}));
  EXPECT_FALSE(First().override->health.has_value());
  EXPECT_EQ(First().override->weight, 5u);
}

TEST_F(BatchRulesTest, BackendsAreHostsWithAPort) {
  for (const char* address : {"0.0.0.0:80", "[::]:80", "10.0.0.9:0"}) {
    EXPECT_EQ(Field(Bad(Ops({Upsert("web", {B(address)})}))),
              "ops[0].upsert_backends.backends[0].address")
        << address;
  }
  EXPECT_EQ(Field(Bad(Ops({Upsert("web", {BackendSpec{}})}))),
            "ops[0].upsert_backends.backends[0].address");
}

TEST_F(BatchRulesTest, TextsAreShortAndPrintable) {
  const auto with = [](auto change) {
    BackendSpec spec = B("10.0.0.9:80");
    change(spec);
    return Ops({Upsert("web", {spec})});
  };
  const std::string path = "ops[0].upsert_backends.backends[0]";
  EXPECT_EQ(Field(Bad(with([](BackendSpec& s) { s.zone = "a\nb"; }))), path + ".zone");
  EXPECT_EQ(Field(Bad(with([](BackendSpec& s) { s.group = std::string(257, 'x'); }))),
            path + ".group");
  EXPECT_EQ(Field(Bad(with([](BackendSpec& s) { s.tags = {{"k", "\x1b[31m"}}; }))), path + ".tags");
  EXPECT_EQ(Field(Bad(with([](BackendSpec& s) { s.tags = {{"", "v"}}; }))), path + ".tags");
  EXPECT_EQ(Field(Bad(with([](BackendSpec& s) {
              for (int i = 0; i < 17; ++i) s.tags.emplace(std::to_string(i), "");
            }))),
            path + ".tags");
  Good(with([](BackendSpec& s) { s.zone = std::string(256, 'x'); }));

  ApplyRequest commented = Ops({Pool("other")});
  commented.comment = "first\nsecond";
  EXPECT_EQ(Field(Bad(commented)), "comment");
  EXPECT_EQ(Field(Bad(Ops({Impose("web", {kFirst.second}, {.weight = 1, .reason = "\t"})}))),
            "ops[0].set_override.override.reason");
}

TEST_F(BatchRulesTest, NumbersAndDurationsHaveBounds) {
  EXPECT_EQ(Field(Bad(Ops({Impose("web", {kFirst.second}, {.weight = kMaxWeight + 1})}))),
            "ops[0].set_override.override.weight");
  Op pool = Pool("web");
  std::get<PutPool>(pool.op).spec.drain = DrainSpec{.timeout = absl::Hours(100'000)};
  EXPECT_EQ(Field(Bad(Ops({pool}))), "ops[0].put_pool.drain.timeout");
  Op remove = Remove("web", {kFirst.second});
  std::get<RemoveBackends>(remove.op).drain = DrainSpec{.timeout = -absl::Seconds(1)};
  EXPECT_EQ(Field(Bad(Ops({remove}))), "ops[0].remove_backends.drain.timeout");
  std::get<RemoveBackends>(remove.op).drain->timeout = absl::Microseconds(1);
  EXPECT_EQ(Field(Bad(Ops({remove}))), "ops[0].remove_backends.drain.timeout")
      << "would round to off";
}

// ---- Counts and warnings ----

TEST_F(BatchRulesTest, WhatIsAbsentCountsAsNothing) {
  const Change change = Good(Ops({Remove("web", {At("10.0.0.9:80")}),
                                  {.op = RemoveListener{"none"}},
                                  {.op = RemovePool{"none"}}}));
  EXPECT_FALSE(change.has_changed);
  ASSERT_THAT(change.results, SizeIs(3));
  for (const OpResult& result : change.results) {
    EXPECT_EQ(result.unchanged + result.removed + result.updated + result.added, 0u);
  }
}

TEST_F(BatchRulesTest, ReplaceWarnsOfWhatOthersKeep) {
  Good(Ops({Upsert("web", {B("10.0.0.1:80")})}, "static"));
  const Change change = Good(Ops({Replace("web", {B("10.0.0.2:80")})}));
  EXPECT_EQ(change.results[0].updated, 1u);
  EXPECT_EQ(change.results[0].removed, 0u);
  ASSERT_THAT(change.warnings, SizeIs(1));
  EXPECT_THAT(change.warnings[0], HasSubstr("still claimed by static"));
  EXPECT_THAT(change.leaving, IsEmpty());
}

TEST_F(BatchRulesTest, WarningsAreBounded) {
  std::vector<BackendSpec> many;
  std::vector<Address> addresses;
  for (int i = 1; i <= 50; ++i) {
    many.push_back(B("10.0.1." + std::to_string(i) + ":80"));
    addresses.push_back(many.back().address);
  }
  Good(Ops({Upsert("web", many)}, "static"));
  const Change change = Good(Ops({Remove("web", addresses)}));
  ASSERT_THAT(change.warnings, SizeIs(21));
  EXPECT_EQ(change.warnings.back(), "and 30 more warnings");
}

// ---- What DRAINED waits for ----

TEST_F(BatchRulesTest, LeavingAreThoseThatTheBatchTakesOut) {
  const auto impose = [&](AdminState state) {
    return Good(Ops({Impose("web", {kFirst.second}, {.admin_state = state})})).leaving;
  };
  EXPECT_THAT(impose(AdminState::kDraining), ElementsAre(kFirst));
  EXPECT_THAT(impose(AdminState::kDraining), ElementsAre(kFirst)) << "though nothing changed";
  EXPECT_THAT(impose(AdminState::kDisabled), ElementsAre(kFirst));
  EXPECT_THAT(impose(AdminState::kEnabled), IsEmpty());
  EXPECT_THAT(Good(Ops({Remove("web", {kFirst.second})})).leaving, ElementsAre(kFirst));
  EXPECT_THAT(Good(Ops({Remove("web", {kFirst.second})})).leaving, ElementsAre(kFirst))
      << "its sessions may still drain";
}

TEST_F(BatchRulesTest, AClaimMayDrain) {
  BackendSpec spec = B("10.0.0.1:80");
  spec.admin_state = AdminState::kDraining;
  const Change change = Good(Ops({Upsert("web", {spec})}));
  EXPECT_THAT(change.leaving, ElementsAre(kFirst));
  EXPECT_EQ(First().effective.admin_state, AdminState::kDraining);

  Good(Ops({Impose("web", {kFirst.second}, {.admin_state = AdminState::kEnabled})}));
  EXPECT_EQ(First().effective.admin_state, AdminState::kEnabled) << "an override stands over it";
}

// ---- Overrides ----

TEST_F(BatchRulesTest, AnOverrideKeepsTheReasonOfItsOtherPart) {
  Good(Ops({Impose("web", {kFirst.second},
                   {.admin_state = AdminState::kDraining, .reason = "disk is full"})}));
  Good(Ops({Impose("web", {kFirst.second}, {.weight = 5})}));
  EXPECT_EQ(First().override->reason, "disk is full");
  EXPECT_EQ(First().override->admin_state, AdminState::kDraining);
}

TEST_F(BatchRulesTest, TheSameOverrideAgainChangesNothing) {
  const Op drain = Impose(
      "web", {kFirst.second},
      {.admin_state = AdminState::kDraining, .drain = DrainSpec{.timeout = absl::Seconds(60)}});
  EXPECT_TRUE(Good(Ops({drain})).has_changed);
  const Change again = Good(Ops({drain}));
  EXPECT_FALSE(again.has_changed);
  EXPECT_EQ(again.results[0].unchanged, 1u);
}

TEST_F(BatchRulesTest, OverridesOutliveClaimsOfOthersAndEndWithTheBackend) {
  Good(Ops({Upsert("web", {B("10.0.0.1:80", 7)})}, "static"));
  Good(Ops({Impose("web", {kFirst.second}, {.weight = 1})}));
  Good(Ops({Remove("web", {kFirst.second})}));
  EXPECT_EQ(First().effective.weight, 1u) << "static's claim keeps it alive";
  Good(Ops({Remove("web", {kFirst.second}, /*any_owner=*/true)}));
  Good(Ops({Upsert("web", {B("10.0.0.1:80", 9)})}));
  EXPECT_EQ(First().effective.weight, 9u);
  EXPECT_FALSE(First().override.has_value());
}

TEST_F(BatchRulesTest, AnAddressSelectedTwiceIsOneBackend) {
  const Change change = Good(Ops({Impose("web", {kFirst.second, kFirst.second}, {.weight = 3})}));
  EXPECT_EQ(change.results[0].updated, 1u);
  EXPECT_EQ(change.results[0].unchanged, 0u);
}

TEST_F(BatchRulesTest, LaterOverridesOfABatchStandOverEarlierOnes) {
  Good(Ops({Impose("web", {kFirst.second}, {.weight = 3})}));
  const Change change =
      Good(Ops({Clear(), Impose("web", {kFirst.second}, {.admin_state = AdminState::kDraining})}));
  EXPECT_FALSE(First().override->weight.has_value());
  EXPECT_THAT(change.leaving, ElementsAre(kFirst));
}

TEST_F(BatchRulesTest, ASelectorThatMatchesNothingWarns) {
  const Change change =
      Good(Ops({{.op = SetOverride{.pool = "web",
                                   .selector = {.addresses = {kFirst.second}, .zone = "eu"},
                                   .override = {.weight = 3}}}}));
  EXPECT_FALSE(change.has_changed);
  EXPECT_THAT(change.warnings, SizeIs(1));
}

// ---- Copies ----

TEST_F(BatchRulesTest, ABatchSharesWhatItDoesNotTouch) {
  Good(Ops({Pool("other"), Upsert("other", {B("10.0.0.1:80")})}));
  const DesiredState before = state_;
  Good(Ops({Upsert("web", {B("10.0.0.2:80", 5)})}));
  EXPECT_EQ(state_.pools.at("other"), before.pools.at("other"));
  EXPECT_EQ(state_.FindBackend("web", kFirst.second), before.FindBackend("web", kFirst.second));
  EXPECT_NE(state_.FindBackend("web", At("10.0.0.2:80")),
            before.FindBackend("web", At("10.0.0.2:80")));
  EXPECT_FALSE(before.FindBackend("web", At("10.0.0.2:80"))->effective.weight.has_value());
}

TEST_F(BatchRulesTest, APoolThatComesAndGoesWithItsBackendsLeavesNothing) {
  const Change change = Good(Ops({Pool("new"), Upsert("new", {B("10.0.0.1:80")})}));
  EXPECT_EQ(state_.backend_count, 3u);
  const Change gone = Good(
      Ops({Upsert("new", {B("10.0.0.5:80")}), {.op = RemovePool{.pool = "new", .force = true}}}));
  EXPECT_EQ(state_.backend_count, 2u);
  EXPECT_THAT(gone.removals, SizeIs(2));
}

// ---- Ring domains ----

Op PoolOf(std::vector<RingDomainSpec> domains) {
  return {.op = PutPool{.spec = {.name = "web", .ring_domains = std::move(domains)}}};
}

TEST_F(BatchRulesTest, WithADomainThatIsDroppedGoItsClaimsAndNoOthers) {
  Good(Ops({PoolOf({{.domain = "a.example", .port = 80}, {.domain = "b.example", .port = 80}})}));
  Good(Ops({Replace("web", {B("10.0.0.1:80"), B("10.1.0.1:80")})}, "ring:a.example"));
  Good(Ops({Replace("web", {B("10.2.0.1:80")})}, "ring:b.example"));

  const Change change = Good(Ops({PoolOf({{.domain = "b.example", .port = 81}})}));

  EXPECT_EQ(change.results[0].updated, 1u);
  EXPECT_EQ(change.results[0].removed, 0u);
  EXPECT_THAT(First().claims, SizeIs(1));
  EXPECT_EQ(First().claims[0].owner, "api:test");
  EXPECT_EQ(state_.FindBackend("web", At("10.1.0.1:80")), nullptr);
  EXPECT_NE(state_.FindBackend("web", At("10.2.0.1:80")), nullptr);
  EXPECT_EQ(state_.backend_count, 3u);
  EXPECT_TRUE(change.removals.contains({"web", At("10.1.0.1:80")}));
}

TEST_F(BatchRulesTest, WrongRingDomainsAreNamed) {
  const struct {
    std::vector<RingDomainSpec> domains;
    std::string field, says;
  } cases[] = {
      {{{.domain = "", .port = 80}}, "[0].domain", "host name"},
      {{{.domain = "10.0.0.1", .port = 80}}, "[0].domain", "host name"},
      {{{.domain = "::1", .port = 80}}, "[0].domain", "host name"},
      {{{.domain = "a b.example", .port = 80}}, "[0].domain", "host name"},
      {{{.domain = "a..b", .port = 80}}, "[0].domain", "host name"},
      {{{.domain = std::string(64, 'a'), .port = 80}}, "[0].domain", "host name"},
      {{{.domain = "a.", .port = 80}, {.domain = "A", .port = 81}}, "[1].domain", "once in a pool"},
      {{{.domain = "a", .port = 0}}, "[0].port", "1 to 65535"},
      {{{.domain = "a", .port = 65'536}}, "[0].port", "1 to 65535"},
      {{{.domain = "a", .port = 80, .record = RecordType::kSrv}}, "[0].port", "SRV"},
      {{{.domain = "a", .port = 80, .min_ttl = absl::ZeroDuration()}}, "[0].min_ttl", "10ms"},
      {{{.domain = "a", .port = 80, .max_ttl = absl::Hours(25)}}, "[0].max_ttl", "24h"},
      {{{.domain = "a", .port = 80, .min_ttl = absl::Seconds(3), .max_ttl = absl::Seconds(2)}},
       "[0].min_ttl",
       "more than max_ttl"},
      {{{.domain = "a", .port = 80, .defaults = B("10.0.0.1:80")}},
       "[0].defaults.address",
       "empty"},
      {{{.domain = "a", .port = 80, .defaults = BackendSpec{.weight = 70'000}}},
       "[0].defaults.weight",
       "65535"},
      {{{.domain = "a", .port = 80, .defaults = BackendSpec{.probe_address = At("10.0.0.1:80")}}},
       "[0].defaults.probe_address",
       "empty"},
      {std::vector<RingDomainSpec>(kMaxRingDomains + 1, {.domain = "a", .port = 80}), "",
       "at most"},
  };
  for (const auto& wrong : cases) {
    const absl::Status status = Bad(Ops({PoolOf(wrong.domains)}));
    EXPECT_EQ(Field(status), "ops[0].put_pool.ring_domains" + wrong.field);
    EXPECT_THAT(std::string(status.message()), HasSubstr(wrong.says));
  }
}

TEST(SummaryTest, SaysWhatWasDone) {
  DesiredState state;
  state.revision = 1;
  const auto words = [&](Op op, std::string owner = "api:test") -> std::string {
    const auto change = ApplyBatch(state, Ops({std::move(op)}, std::move(owner)));
    EXPECT_TRUE(change.ok()) << change.status();
    if (!change.ok() || change->summary.size() != 1) return "";
    state = change->next;
    return change->summary[0];
  };
  const auto clear = [](SetOverride op) { return Op{.op = std::move(op)}; };
  const Address first = At("10.0.0.1:80"), second = At("10.0.0.2:80");
  words(Pool("web"));
  words(Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80")}));
  words(Upsert("web", {B("10.0.0.1:80")}), "static");

  EXPECT_EQ(words({.op = SetMode{.pool = "web", .mode = Mode::kMaglev}}), "mode web maglev");
  EXPECT_EQ(words(Impose("web", {first}, {.admin_state = AdminState::kDraining})),
            "override web/10.0.0.1:80 draining");
  EXPECT_EQ(
      words(Impose(
          "web", {first, second},
          {.health = HealthOverride::kForceUnhealthy, .weight = 5, .ttl = absl::Minutes(30)})),
      "override web (2 backends) weight 5, forced unhealthy for 30m");
  EXPECT_EQ(words(clear({.pool = "web",
                         .selector = {.addresses = {first}},
                         .clear_admin_state = true,
                         .clear_health = true})),
            "override web/10.0.0.1:80 admin state and health cleared");
  EXPECT_EQ(words(Remove("web", {first})), "pool web: 0 removed, 1 left to other owners");
  EXPECT_EQ(words(Replace("web", {})), "pool web: 0 added, 0 updated, 1 removed");
  EXPECT_EQ(words(clear({.pool = "web", .selector = {.addresses = {second}}, .clear = true})),
            "override web/10.0.0.2:80 cleared")
      << "though it only waits for its backend";
}

}  // namespace
}  // namespace sidelb::control
