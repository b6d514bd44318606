// Health in force: probes, ejection, overrides, and what they mean for traffic.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/control/sync_controller.h"
#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"
#include "tests/support/udp.h"

namespace sidelb::control {
namespace {

using testing::End;
using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

class HealthInForceTest : public ::testing::Test {
 protected:
  Address Serve(PoolSpec pool, const std::vector<Address>& addresses,
                Protocol protocol = Protocol::kTcp) {
    pool.name = "web";
    std::vector<BackendSpec> backends;
    for (const Address& address : addresses) backends.push_back({.address = address});
    Op listener = Listener("l", "127.0.0.1:0", "web");
    std::get<PutListener>(listener.op).spec.protocol = protocol;
    const auto applied = control_.Apply({{.op = PutPool{pool}}, Upsert("web", backends), listener});
    EXPECT_TRUE(applied.ok()) << applied.status();
    return control_.Read()->listeners.at(0).status.bound_address;
  }
  BackendStatus StatusOf(const Address& address) {
    return control_.StatusOf(address).value_or(BackendStatus{});
  }
  // Until it is so, on every shard.
  bool WaitFor(const Address& address, BackendState state) {
    const bool is_so = TestDataPlane::WaitUntil([&] { return StatusOf(address).state == state; });
    control_.Settle();
    return is_so;
  }
  static PoolSpec Quick(HealthCheckSpec check = {}) {
    check.interval = absl::Milliseconds(50);
    check.timeout = absl::Milliseconds(500);
    return {.health_check = check};
  }

  SyncController control_;
};

TEST_F(HealthInForceTest, ABackendThatDiesTakesNoSessionAndReturns) {
  TcpServer a(testing::Greet("A"));
  auto b = std::make_unique<TcpServer>(testing::Greet("B"));
  const Address dies = b->address();
  const Address address = Serve(Quick({.passive_failures = 0}), {a.address(), dies});
  EXPECT_TRUE(WaitFor(a.address(), BackendState::kServing));
  EXPECT_TRUE(WaitFor(dies, BackendState::kServing));
  EXPECT_EQ(StatusOf(dies).reason, HealthReason::kOk);
  b.reset();
  EXPECT_TRUE(WaitFor(dies, BackendState::kUnhealthy));
  EXPECT_EQ(StatusOf(dies).reason, HealthReason::kRefused);
  EXPECT_EQ(StatusOf(dies).ineligible_reason, IneligibleReason::kUnhealthy);
  EXPECT_EQ(StatusOf(dies).detail, "connect: ECONNREFUSED");
  EXPECT_EQ(control_.Read()->pools.at(0).status.unhealthy, 1u);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "A");
  TcpServer back(testing::Greet("B"), dies);
  EXPECT_TRUE(WaitFor(dies, BackendState::kServing));
  std::string seen;
  for (int i = 0; i < 4; ++i) seen += TcpSocket::Connect(address).Receive(1);
  EXPECT_NE(seen.find('B'), std::string::npos);
}

TEST_F(HealthInForceTest, OnUnhealthyResetEndsItsSessions) {
  TcpServer a(testing::Echo);
  // The probe goes elsewhere, so that the sessions live while the probe fails.
  auto probed = std::make_unique<TcpServer>(testing::Echo);
  PoolSpec pool = Quick({.port = probed->address().port()});
  pool.on_unhealthy = OnUnhealthy::kReset;
  TcpSocket session = TcpSocket::Connect(Serve(pool, {a.address()}));
  EXPECT_TRUE(WaitFor(a.address(), BackendState::kServing));
  session.Send("x");
  EXPECT_EQ(session.Receive(1), "x");
  probed.reset();
  EXPECT_EQ(session.WaitForEnd(), End::kReset);
}

TEST_F(HealthInForceTest, FailedConnectsEjectABackend) {
  TcpServer a(testing::Greet("A")), b(testing::Greet("B"));
  testing::RefusedAddress refused;
  const Address address = Serve({.health_check = HealthCheckSpec{.kind = HealthCheckKind::kNone}},
                                {a.address(), b.address(), refused.address});
  EXPECT_EQ(StatusOf(refused.address).reason, HealthReason::kNotChecked);
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] {
    EXPECT_TRUE(TcpSocket::Connect(address).Receive(1) != "");
    return StatusOf(refused.address).state == BackendState::kUnhealthy;
  }));
  EXPECT_EQ(StatusOf(refused.address).ineligible_reason, IneligibleReason::kEjected);
  EXPECT_EQ(StatusOf(refused.address).reason, HealthReason::kPassive);
  EXPECT_TRUE(StatusOf(refused.address).ejected_until.has_value());
}

TEST_F(HealthInForceTest, TheOperatorsWordStandsOverTheProbes) {
  TcpServer a(testing::Greet("A")), b(testing::Greet("B"));
  const Address address = Serve(Quick(), {a.address(), b.address()});
  EXPECT_TRUE(WaitFor(a.address(), BackendState::kServing));
  ASSERT_TRUE(
      control_.Apply({Impose("web", {a.address()}, {.health = HealthOverride::kForceUnhealthy})})
          .ok());
  EXPECT_EQ(StatusOf(a.address()).state, BackendState::kUnhealthy);
  EXPECT_EQ(StatusOf(a.address()).reason, HealthReason::kOverride);
  EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "B");
  ASSERT_TRUE(
      control_
          .Apply(
              {{.op = SetOverride{.pool = "web", .selector = {.all = true}, .clear_health = true}}})
          .ok());
  EXPECT_EQ(StatusOf(a.address()).state, BackendState::kServing);
}

TEST_F(HealthInForceTest, BackupsServeWhenNobodyElseCan) {
  auto a = std::make_unique<TcpServer>(testing::Greet("A"));
  TcpServer b(testing::Greet("B"));
  PoolSpec pool = Quick();
  pool.name = "web";
  ASSERT_TRUE(control_
                  .Apply({{.op = PutPool{pool}},
                          Upsert("web", {{.address = a->address()},
                                         {.address = b.address(), .priority = 1}}),
                          Listener("l", "127.0.0.1:0", "web")})
                  .ok());
  const Address address = control_.Read()->listeners.at(0).status.bound_address;
  EXPECT_TRUE(WaitFor(a->address(), BackendState::kServing));
  EXPECT_EQ(StatusOf(b.address()).ineligible_reason, IneligibleReason::kStandby);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "A");
  const Address gone = a->address();
  a.reset();
  EXPECT_TRUE(WaitFor(gone, BackendState::kUnhealthy));
  EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "B");
  EXPECT_EQ(control_.Read()->pools.at(0).status.active_priority, 1u);
}

TEST_F(HealthInForceTest, PanicUsesEverybody) {
  testing::RefusedAddress refused_1, refused_2;
  PoolSpec pool = Quick();
  pool.panic_percent = 50;
  Serve(pool, {refused_1.address, refused_2.address});
  EXPECT_TRUE(WaitFor(refused_1.address, BackendState::kUnhealthy));
  EXPECT_TRUE(
      TestDataPlane::WaitUntil([&] { return control_.Read()->pools.at(0).status.is_in_panic; }));
  EXPECT_EQ(StatusOf(refused_1.address).ineligible_reason, IneligibleReason::kNone);
}

TEST_F(HealthInForceTest, UdpIsServedAndProbedByDatagrams) {
  testing::UdpServer a([](std::string_view data) -> std::optional<std::string> {
    return data == "ping" ? "pong" : std::string(data);
  });
  PoolSpec pool = Quick({.kind = HealthCheckKind::kUdp, .send = "ping", .expect = "pong"});
  const Address address = Serve(pool, {a.address()}, Protocol::kUdp);
  EXPECT_TRUE(WaitFor(a.address(), BackendState::kServing));
  testing::UdpSocket client(*Address::Parse("127.0.0.1:0"), address);
  client.Send("hello");
  EXPECT_EQ(client.Receive(), "hello");
  EXPECT_EQ(StatusOf(a.address()).reason, HealthReason::kOk);
}

TEST_F(HealthInForceTest, APoolOfUdpOnlyIsNotProbedUnlessTold) {
  testing::UdpServer a([](std::string_view data) { return std::string(data); });
  Serve({}, {a.address()}, Protocol::kUdp);
  EXPECT_EQ(StatusOf(a.address()).reason, HealthReason::kNotChecked);
  EXPECT_EQ(StatusOf(a.address()).state, BackendState::kServing);
}

}  // namespace
}  // namespace sidelb::control
