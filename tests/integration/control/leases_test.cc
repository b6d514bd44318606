// Leases, the guard and overrides that end, through the controller.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "fmt/format.h"

#include "tests/integration/control/sync_controller.h"

namespace sidelb::control {
namespace {

using testing::Echo;
using ::testing::HasSubstr;
using testing::TcpServer;
using testing::TcpSocket;

constexpr absl::Duration kTtl = absl::Milliseconds(200);

bool WaitUntil(const std::function<bool()>& is_so) {
  return testing::TestDataPlane::WaitUntil(is_so);
}

SyncController ShortLeases() { return SyncController({.shards = 2, .min_lease_ttl = kTtl}); }

RenewLeaseRequest LeaseOf(std::string owner, ExpiryAction action, std::string holder = "h1") {
  return {.owner = std::move(owner),
          .holder = std::move(holder),
          .ttl = kTtl,
          .grace = absl::ZeroDuration(),
          .on_expiry = action};
}

ApplyRequest By(std::string holder, std::vector<Op> ops, std::string owner = "api:test") {
  ApplyRequest request = Ops(std::move(ops), std::move(owner));
  request.holder = std::move(holder);
  return request;
}

std::vector<std::string> Conditions(SyncController& control) {
  std::vector<std::string> codes;
  for (const Condition& condition : control.GetInfo().conditions) codes.push_back(condition.code);
  return codes;
}

TEST(LeasesTest, WhatChangesALeaseIsInTheAuditAndWhatOnlyRenewsItIsNot) {
  SyncController control = ShortLeases();
  const auto renew = [&](RenewLeaseRequest request) {
    request.caller.principal = "uid:7";
    return control.Renew(std::move(request)).ok();
  };
  RenewLeaseRequest lease = LeaseOf("api:a", ExpiryAction::kDrain);
  lease.ttl = absl::Hours(1);
  EXPECT_TRUE(renew(lease));
  EXPECT_TRUE(renew(lease));
  lease.holder = "h2";
  EXPECT_FALSE(renew(lease));
  lease.take_over = true;
  EXPECT_TRUE(renew(lease));
  lease.on_expiry = ExpiryAction::kKeep;
  EXPECT_TRUE(renew(lease));
  lease.take_over = false;
  lease.release = true;
  EXPECT_TRUE(renew(lease));
  EXPECT_TRUE(renew(lease)) << "there is none any more";
  EXPECT_TRUE(renew(LeaseOf("api:b", ExpiryAction::kRemove)));

  const auto read = [&] {
    std::promise<AuditPage> page;
    control.controller().ListAudit({}, [&](auto got) { page.set_value(*std::move(got)); });
    return page.get_future().get().entries;
  };
  ASSERT_TRUE(WaitUntil([&] { return read().size() == 7; }));
  std::vector<std::string> lines;
  for (const AuditEntry& entry : read()) {
    lines.push_back(fmt::format("{} {} {}", entry.owner, entry.principal,
                                entry.code == 0 ? entry.summary : entry.error_reason));
  }
  EXPECT_THAT(
      lines, ::testing::ElementsAre(
                 "api:b server lease has lapsed: claims removed, there are none",
                 "api:b uid:7 lease held by h1 for 200ms", "api:a uid:7 lease released by h2",
                 "api:a uid:7 lease held by h2 for 1h", "api:a uid:7 lease taken over by h2 for 1h",
                 "api:a uid:7 SESSION_SUPERSEDED", "api:a uid:7 lease held by h1 for 1h"));
}

TEST(LeasesTest, ALapseDrainsAndALateRenewalTakesBack) {
  TcpServer a(Echo);
  SyncController control = ShortLeases();
  TcpSocket session = OpenEcho(control.Serve({a.address()}));
  ASSERT_TRUE(control.Renew(LeaseOf("api:test", ExpiryAction::kDrain)).ok());
  EXPECT_EQ(control.GetInfo().leases.at(0).claims, 1u);

  ASSERT_TRUE(
      WaitUntil([&] { return control.StatusOf(a.address())->state == BackendState::kDraining; }));

  EXPECT_EQ(control.StatusOf(a.address())->reason, HealthReason::kOwnerExpired);
  EXPECT_TRUE(control.Read()->backends.at(0).object->claims.at(0).lease_expired);
  EXPECT_THAT(Conditions(control), ::testing::Contains("LEASE_EXPIRED"));
  EXPECT_TRUE(session.Send("y"));
  EXPECT_EQ(session.Receive(1), "y") << "a drain leaves sessions alone";

  RenewLeaseRequest longer = LeaseOf("api:test", ExpiryAction::kDrain);
  longer.ttl = absl::Hours(1);
  ASSERT_TRUE(control.Renew(longer).ok());
  EXPECT_NE(control.StatusOf(a.address())->state, BackendState::kDraining);
  EXPECT_FALSE(control.Read()->backends.at(0).object->claims.at(0).lease_expired);
  EXPECT_THAT(Conditions(control), ::testing::Not(::testing::Contains("LEASE_EXPIRED")));
}

TEST(LeasesTest, RemoveTakesAllAndAsksNoGuard) {
  SyncController control = ShortLeases();
  std::vector<BackendSpec> backends;
  for (int i = 1; i <= 6; ++i) backends.push_back(B("127.0.0.1:" + std::to_string(i)));
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", backends)}).ok());
  ASSERT_TRUE(control.Renew(LeaseOf("api:test", ExpiryAction::kRemove)).ok());

  EXPECT_TRUE(WaitUntil([&] { return control.Read()->backends.empty(); }));

  // What was removed stays so until it is put again.
  ASSERT_TRUE(control.Renew(LeaseOf("api:test", ExpiryAction::kKeep)).ok());
  EXPECT_TRUE(control.Read()->backends.empty());
}

TEST(LeasesTest, KeepOnlyMarks) {
  SyncController control = ShortLeases();
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", {B("127.0.0.1:1")})}).ok());
  ASSERT_TRUE(control.Renew(LeaseOf("api:test", ExpiryAction::kKeep)).ok());

  ASSERT_TRUE(
      WaitUntil([&] { return control.Read()->backends.at(0).object->claims.at(0).lease_expired; }));

  EXPECT_EQ(control.StatusOf(At("127.0.0.1:1"))->ineligible_reason, IneligibleReason::kNone);
}

TEST(LeasesTest, ALapsedClaimStandsBehindOthers) {
  SyncController control = ShortLeases();
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", {B("127.0.0.1:1", 7)})}).ok());
  ASSERT_TRUE(control.Apply(Ops({Upsert("web", {B("127.0.0.1:1", 9)})}, "static")).ok());
  ASSERT_TRUE(control.Renew(LeaseOf("api:test", ExpiryAction::kDrain)).ok());

  ASSERT_TRUE(
      WaitUntil([&] { return control.Read()->backends.at(0).object->effective.weight == 9u; }));

  EXPECT_NE(control.StatusOf(At("127.0.0.1:1"))->state, BackendState::kDraining);
}

TEST(LeasesTest, ASupersededHolderCanDoNothing) {
  SyncController control = ShortLeases();
  ASSERT_TRUE(control.Apply({Pool("web")}).ok());
  RenewLeaseRequest first = LeaseOf("api:test", ExpiryAction::kDrain);
  first.ttl = absl::Hours(1);
  ASSERT_TRUE(control.Renew(first).ok());
  RenewLeaseRequest second = first;
  second.holder = "h2";
  EXPECT_EQ(Reason(control.Renew(second).status()), "SESSION_SUPERSEDED");
  second.take_over = true;
  ASSERT_TRUE(control.Renew(second).ok());

  const auto late = control.Apply(By("h1", {Upsert("web", {B("127.0.0.1:1")})}));
  EXPECT_EQ(late.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Reason(late.status()), "SESSION_SUPERSEDED");
  EXPECT_EQ(Reason(control.Renew(first).status()), "SESSION_SUPERSEDED");
  EXPECT_TRUE(control.Apply(By("h2", {Upsert("web", {B("127.0.0.1:1")})})).ok());
  EXPECT_TRUE(control.Apply({Upsert("web", {B("127.0.0.1:2")})}).ok()) << "no holder, no fence";
}

TEST(LeasesTest, AnApplyOfTheHolderRenewsAndTakesBack) {
  SyncController control = ShortLeases();
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", {B("127.0.0.1:1")})}).ok());
  ASSERT_TRUE(control.Renew(LeaseOf("api:test", ExpiryAction::kDrain)).ok());
  const auto claim = [&] { return control.Read()->backends.at(0).object->claims.at(0); };
  ASSERT_TRUE(WaitUntil([&] { return claim().lease_expired; }));

  ASSERT_TRUE(control.Apply(By("h1", {})).ok());

  EXPECT_FALSE(claim().lease_expired);
  EXPECT_FALSE(control.GetInfo().leases.at(0).is_expired);
}

TEST(LeasesTest, LeasesThatLapseTogetherFreezeUntilOneIsRenewed) {
  SyncController control = ShortLeases();
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", {B("127.0.0.1:1")})}).ok());
  ASSERT_TRUE(control.Apply(Ops({Upsert("web", {B("127.0.0.1:2")})}, "api:other")).ok());
  for (const char* owner : {"api:test", "api:other"}) {
    RenewLeaseRequest request = LeaseOf(owner, ExpiryAction::kRemove);
    request.grace = kTtl;
    ASSERT_TRUE(control.Renew(request).ok());
  }
  ASSERT_TRUE(WaitUntil([&] {
    const auto codes = Conditions(control);
    return std::count(codes.begin(), codes.end(), "LEASES_FROZEN") == 1;
  }));
  EXPECT_EQ(control.Read()->backends.size(), 2u);

  RenewLeaseRequest back = LeaseOf("api:test", ExpiryAction::kRemove);
  back.ttl = absl::Hours(1);
  ASSERT_TRUE(control.Renew(back).ok());

  EXPECT_TRUE(WaitUntil([&] { return control.Read()->backends.size() == 1; })) << "of api:other";
  EXPECT_EQ(control.Read()->backends.at(0).object->address, At("127.0.0.1:1"));
}

TEST(LeasesTest, EventsTellOfEachChangeAndNotOfRenewals) {
  SyncController control = ShortLeases();
  const RenewLeaseRequest request = LeaseOf("api:test", ExpiryAction::kKeep);
  ASSERT_TRUE(control.Renew(request).ok());
  ASSERT_TRUE(control.Renew(request).ok());
  ASSERT_TRUE(WaitUntil([&] { return control.GetInfo().leases.at(0).is_expired; }));
  RenewLeaseRequest release = request;
  release.release = true;
  ASSERT_TRUE(control.Renew(release).ok());

  std::vector<std::string> seen;
  const auto batches = control.controller().events().Read(0, 100);
  ASSERT_TRUE(batches.has_value());
  for (const auto& batch : *batches) {
    for (const Event& event : batch->events) {
      const auto* lease = std::get_if<LeaseEvent>(&event.what);
      if (lease == nullptr) continue;
      seen.push_back(lease->after == nullptr    ? "released"
                     : lease->after->is_expired ? "expired"
                     : lease->before == nullptr ? "new"
                                                : "renewed");
    }
  }
  EXPECT_THAT(seen, ::testing::ElementsAre("new", "expired", "released"));
}

// ---- The guard ----

std::vector<BackendSpec> Ports(int from, int to) {
  std::vector<BackendSpec> backends;
  for (int i = from; i <= to; ++i) backends.push_back(B("127.0.0.1:" + std::to_string(i)));
  return backends;
}

TEST(GuardTest, RefusesWhatWouldEmptyAPoolAndSaysItWithNumbers) {
  SyncController control;
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", Ports(1, 10))}).ok());

  const auto refused = control.Apply({Replace("web", Ports(1, 2))});

  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Reason(refused.status()), "MASS_REMOVAL");
  EXPECT_EQ(GetErrorDetails(refused.status())->metadata.at("would_remove"), "8");
  EXPECT_EQ(GetErrorDetails(refused.status())->metadata.at("serving"), "10");
  EXPECT_EQ(control.Read()->backends.size(), 10u);
}

TEST(GuardTest, ConsentPassesAndTheImpactIsTold) {
  SyncController control;
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", Ports(1, 10))}).ok());
  ApplyRequest request = Ops({Replace("web", Ports(1, 2))});
  request.allow_mass_removal = true;
  request.validate_only = true;
  for (bool validate_only : {true, false}) {
    request.validate_only = validate_only;
    const auto done = control.Apply(request);
    ASSERT_TRUE(done.ok());
    ASSERT_EQ(done->impacts.size(), 1u);
    EXPECT_EQ(done->impacts[0].pool, "web");
    EXPECT_EQ(done->impacts[0].eligible_before, 10u);
    EXPECT_EQ(done->impacts[0].eligible_after, 2u);
  }
}

TEST(GuardTest, BlueGreenAndOverridesPass) {
  SyncController control;
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", Ports(1, 10))}).ok());
  ASSERT_TRUE(control.Apply({Upsert("web", Ports(21, 30))}).ok());
  std::vector<Address> blue;
  for (const BackendSpec& spec : Ports(1, 10)) blue.push_back(spec.address);
  EXPECT_TRUE(control.Apply({Remove("web", blue)}).ok());
  EXPECT_TRUE(control.Apply({Replace("web", Ports(41, 50))}).ok());

  const auto disabled =
      control.Apply({{.op = SetOverride{.pool = "web",
                                        .selector = {.all = true},
                                        .override = {.admin_state = AdminState::kDisabled}}}});
  ASSERT_TRUE(disabled.ok());
  EXPECT_EQ(disabled->impacts.at(0).eligible_after, 0u);
}

TEST(GuardTest, RemovingAPoolNeedsConsentOnlyWhereTrafficGoesWithIt) {
  SyncController control;
  const PoolSpec unprobed{.name = "web",
                          .health_check = HealthCheckSpec{.kind = HealthCheckKind::kNone}};
  ASSERT_TRUE(control
                  .Apply({{.op = PutPool{unprobed}},
                          Upsert("web", Ports(1, 5)),
                          Pool("spare"),
                          Upsert("spare", Ports(1, 5)),
                          Listener("http", "127.0.0.1:0", "web")})
                  .ok());
  const Op remove_web{.op = RemovePool{.pool = "web", .force = true}};
  EXPECT_TRUE(control.Apply({{.op = RemovePool{.pool = "spare", .force = true}}}).ok());
  EXPECT_EQ(Reason(control.Apply({remove_web}).status()), "MASS_REMOVAL");
  ApplyRequest consent = Ops({remove_web});
  consent.allow_mass_removal = true;
  EXPECT_TRUE(control.Apply(consent).ok());
}

TEST(GuardTest, APoolThatForgetsItsDomainsAsksToo) {
  SyncController control;
  const RingDomainSpec domain{.domain = "db.example", .port = 80};
  PoolSpec pool{.name = "web", .ring_domains = {domain}};
  ASSERT_TRUE(control.Apply({{.op = PutPool{pool}}}).ok());
  ASSERT_TRUE(control.Apply(Ops({Upsert("web", Ports(1, 4))}, "ring:db.example")).ok());

  EXPECT_EQ(Reason(control.Apply({Pool("web")}).status()), "MASS_REMOVAL");
}

// ---- Overrides that end ----

TEST(OverrideTtlTest, EndsByItself) {
  SyncController control;
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", {B("127.0.0.1:1")})}).ok());
  const auto set = control.Apply({Impose(
      "web", {At("127.0.0.1:1")},
      {.admin_state = AdminState::kDraining, .ttl = absl::Milliseconds(100), .reason = "disk"})});
  ASSERT_TRUE(set.ok());
  const auto override = control.Read()->backends.at(0).object->override;
  ASSERT_TRUE(override.has_value());
  EXPECT_TRUE(override->expire_time.has_value());
  EXPECT_EQ(override->reason, "disk");

  ASSERT_TRUE(
      WaitUntil([&] { return !control.Read()->backends.at(0).object->override.has_value(); }));

  EXPECT_NE(control.StatusOf(At("127.0.0.1:1"))->state, BackendState::kDraining);
  EXPECT_GT(control.GetInfo().revision, set->revision);
}

TEST(OverrideTtlTest, OutlastsARefreshThatLeavesItsBackendOut) {
  SyncController control;
  ASSERT_TRUE(control.Apply({Pool("web")}).ok());
  const auto refresh = [&](std::vector<BackendSpec> backends) {
    return control.Apply(Ops({Replace("web", std::move(backends))}, "ring:db.example"));
  };
  ASSERT_TRUE(refresh(Ports(1, 2)).ok());
  ASSERT_TRUE(
      control.Apply({Impose("web", {At("127.0.0.1:1")}, {.admin_state = AdminState::kDraining})})
          .ok());
  ASSERT_TRUE(refresh(Ports(2, 2)).ok());
  ASSERT_TRUE(control.WaitUntilGone(At("127.0.0.1:1")));

  const auto back = refresh(Ports(1, 2));

  ASSERT_TRUE(back.ok());
  EXPECT_THAT(back->warnings.at(0), HasSubstr("comes back under the override of api:test"));
  EXPECT_EQ(control.StatusOf(At("127.0.0.1:1"))->state, BackendState::kDraining);
}

}  // namespace
}  // namespace sidelb::control
