#include "server/store/codec.h"

#include <gtest/gtest.h>

#include "tests/unit/control/batch_support.h"

namespace sidelb::store {
namespace {

using control::At;

control::BackendSpec FullSpec() {
  return {.address = At("[2001:db8::1]:80"),
          .weight = 0,
          .max_connections = 3,
          .zone = "a",
          .tags = {{"k", "v"}, {"rack", "7"}},
          .group = "g",
          .admin_state = AdminState::kDraining,
          .priority = 2,
          .probe_address = At("10.0.0.9:81")};
}

TEST(CodecTest, AListenerComesBackAsItWas) {
  control::ListenerObject listener;
  listener.revision = 7;
  listener.spec = {.name = "front",
                   .address = At("0.0.0.0:53"),
                   .protocol = control::Protocol::kUdp,
                   .pool = "web",
                   .disabled = true,
                   .max_connections = 5,
                   .connect_timeout = absl::Milliseconds(1'500),
                   .connect_attempts = 1,
                   .idle_timeout = absl::ZeroDuration(),
                   .half_close_timeout = absl::Seconds(9),
                   .keepalive = control::KeepaliveSpec{.idle = absl::Seconds(1), .count = 2},
                   .udp_policy = UdpPolicy::kOneWay,
                   .udp_session_timeout = absl::Seconds(4),
                   .udp_unanswered_timeout = absl::Seconds(3),
                   .max_sessions_per_client = 8};

  const auto decoded = DecodeListener(Encode(listener));

  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ((*decoded)->spec, listener.spec);
  EXPECT_EQ((*decoded)->revision, 7u);
}

TEST(CodecTest, APoolWithRingDomainsComesBackAsItWas) {
  control::PoolObject pool;
  pool.revision = UINT64_MAX;
  pool.spec.name = "web";
  pool.spec.mode = Mode::kMaglev;
  pool.spec.drain = control::DrainSpec{.timeout = absl::ZeroDuration(),
                                       .on_timeout = control::DrainAction::kKeep};
  pool.spec.health_check = control::HealthCheckSpec{.kind = control::HealthCheckKind::kSendExpect,
                                                    .interval = absl::Seconds(3),
                                                    .send = std::string("\0\xff", 2),
                                                    .expect = "pong",
                                                    .passive_failures = 0};
  pool.spec.panic_percent = 30;
  pool.spec.on_unhealthy = control::OnUnhealthy::kReset;
  pool.spec.ring_domains.push_back({.domain = "web.example",
                                    .port = 80,
                                    .min_ttl = absl::Seconds(2),
                                    .record = control::RecordType::kA,
                                    .defaults = control::BackendSpec{.weight = 5, .zone = "z"}});

  const auto decoded = DecodePool(Encode(pool));

  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ((*decoded)->spec, pool.spec);
  EXPECT_EQ((*decoded)->revision, pool.revision);
}

TEST(CodecTest, ABackendComesBackWithClaimsOrdersAndOverride) {
  control::BackendObject backend{.pool = "web", .address = At("[2001:db8::1]:80"), .revision = 9};
  backend.claims.push_back(
      {.owner = "api:a", .spec = FullSpec(), .revision = 8, .order = 41, .lease_expired = true});
  backend.claims.push_back(
      {.owner = "api:b", .spec = {.address = backend.address}, .revision = 9, .order = 3});
  backend.override = control::Override{.admin_state = AdminState::kDraining,
                                       .health = control::HealthOverride::kForceUnhealthy,
                                       .weight = 0,
                                       .drain = control::DrainSpec{.timeout = absl::Seconds(5)},
                                       .ttl = absl::Minutes(1),
                                       .reason = "fan",
                                       .set_by = "api:cli",
                                       .expire_time = absl::FromUnixNanos(1'234'567'890)};

  const auto decoded = DecodeBackend(Encode(backend), EncodeOrders(backend));

  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ((*decoded)->claims.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ((*decoded)->claims[i].owner, backend.claims[i].owner);
    EXPECT_EQ((*decoded)->claims[i].spec, backend.claims[i].spec);
    EXPECT_EQ((*decoded)->claims[i].revision, backend.claims[i].revision);
    EXPECT_EQ((*decoded)->claims[i].order, backend.claims[i].order);
    EXPECT_EQ((*decoded)->claims[i].lease_expired, backend.claims[i].lease_expired);
  }
  EXPECT_EQ((*decoded)->override, backend.override);
  EXPECT_EQ((*decoded)->revision, 9u);
}

TEST(CodecTest, RepliesAndAuditEntriesComeBackAsTheyWere) {
  control::ApplyResponse response{.revision = 5, .warnings = {"one"}};
  response.results.push_back({.added = 1, .updated = 2, .removed = 3, .unchanged = 4});
  const auto decoded = DecodeResponse(Encode(response));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->revision, 5u);
  EXPECT_EQ(decoded->warnings, response.warnings);
  EXPECT_EQ(decoded->results[0].unchanged, 4u);

  const control::AuditEntry entry{.revision = 4,
                                  .time = absl::FromUnixNanos(1'500'000'001),
                                  .principal = "uid:0",
                                  .peer = "unix:",
                                  .owner = "api:a",
                                  .request_id = "id",
                                  .summary = "what",
                                  .comment = "why",
                                  .code = 5,
                                  .error_reason = "POOL_NOT_FOUND"};
  const auto audit = DecodeAudit(Encode(entry));
  ASSERT_TRUE(audit.ok());
  EXPECT_EQ(Encode(*audit), Encode(entry));
  EXPECT_EQ(audit->time, entry.time);
}

TEST(CodecTest, ARowThatCannotBeReadIsDamage) {
  EXPECT_TRUE(absl::IsDataLoss(DecodeListener("\xff\xff").status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeListener("").status()));  // no address
  control::BackendObject backend{.pool = "web", .address = At("10.0.0.1:80")};
  backend.claims.resize(2);
  EXPECT_TRUE(absl::IsDataLoss(DecodeBackend(Encode(backend), "1").status()));
}

}  // namespace
}  // namespace sidelb::store
