// Pools with group_by_ip over real sockets: one probe, one verdict, one ejection and one count for
// all ports of an IP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/integration/control/sync_controller.h"
#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"

namespace sidelb::control {
namespace {

using testing::Greet;
using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

Address On(const char* ip) { return *Address::Parse(std::string(ip) + ":0"); }

class GroupingTest : public ::testing::Test {
 protected:
  static Op Grouped(bool is_grouped = true, Mode mode = Mode::kRoundRobin,
                    HealthCheckSpec check = {}) {
    check.interval = absl::Milliseconds(50);
    check.timeout = absl::Milliseconds(500);
    return {.op = PutPool{.spec = {.name = "web",
                                   .mode = mode,
                                   .group_by_ip = is_grouped,
                                   .health_check = check}}};
  }
  Address Serve(Op pool, std::vector<BackendSpec> backends) {
    const auto applied = control_.Apply(
        {std::move(pool), Upsert("web", std::move(backends)), Listener("l", "127.0.0.1:0", "web")});
    EXPECT_TRUE(applied.ok()) << applied.status();
    return control_.ListenAddress("l");
  }
  // Until it is so, on every shard.
  bool WaitFor(const Address& address, Health health) {
    const bool is_so = TestDataPlane::WaitUntil([&] { return Status(address).health == health; });
    control_.Settle();
    return is_so;
  }
  BackendStatus Status(const Address& address) {
    return control_.StatusOf(address).value_or(BackendStatus{});
  }

  SyncController control_;
};

TEST_F(GroupingTest, OneProbeSpeaksForAllPortsOfAnIp) {
  TcpServer first(Greet("1")), second(Greet("2")), third(Greet("3"));
  TcpServer other(Greet("4"), On("127.0.0.2"));
  Serve(Grouped(), {{.address = first.address()},
                    {.address = second.address()},
                    {.address = third.address()},
                    {.address = other.address()}});

  for (TcpServer* server : {&first, &second, &third, &other}) {
    EXPECT_TRUE(WaitFor(server->address(), Health::kHealthy));
    EXPECT_EQ(Status(server->address()).reason, HealthReason::kOk);
  }
  EXPECT_TRUE(
      TestDataPlane::WaitUntil([&] { return first.accepted() >= 5 && other.accepted() >= 5; }));
  EXPECT_EQ(second.accepted(), 0u);
  EXPECT_EQ(third.accepted(), 0u);
}

TEST_F(GroupingTest, WhenTheProbedPortDiesAllPortsAreOutAndComeBackTogether) {
  auto first = std::make_unique<TcpServer>(Greet("1"));
  TcpServer second(Greet("2"));
  TcpServer other(Greet("3"), On("127.0.0.2"));
  const Address dies = first->address();
  const Address address =
      Serve(Grouped(true, Mode::kRoundRobin, {.passive_failures = 0}),
            {{.address = dies}, {.address = second.address()}, {.address = other.address()}});
  ASSERT_TRUE(WaitFor(second.address(), Health::kHealthy));
  first.reset();

  ASSERT_TRUE(WaitFor(second.address(), Health::kUnhealthy));
  EXPECT_EQ(Status(dies).reason, HealthReason::kRefused);
  EXPECT_EQ(Status(second.address()).reason, HealthReason::kGroupDown);
  EXPECT_EQ(Status(second.address()).detail, dies.ToString() + ": connect: ECONNREFUSED");
  EXPECT_EQ(Status(second.address()).ineligible_reason, IneligibleReason::kUnhealthy);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "3");

  TcpServer back(Greet("1"), dies);
  ASSERT_TRUE(WaitFor(second.address(), Health::kHealthy));
  EXPECT_EQ(Status(second.address()).reason, HealthReason::kOk);
}

TEST_F(GroupingTest, WhoNamesAProbeAddressIsProbedForAll) {
  TcpServer first(Greet("1")), second(Greet("2")), checked(Greet("c"));
  Serve(Grouped(), {{.address = first.address()},
                    {.address = second.address(), .probe_address = checked.address()}});

  EXPECT_TRUE(WaitFor(first.address(), Health::kHealthy));
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return checked.accepted() >= 3; }));
  EXPECT_EQ(first.accepted(), 0u);
  EXPECT_EQ(second.accepted(), 0u);
}

TEST_F(GroupingTest, TheNextMemberTakesTheProbeOverWithItsVerdict) {
  TcpServer first(Greet("1"));
  testing::RefusedAddress second;
  Serve(Grouped(true, Mode::kRoundRobin, {.fall = 100}),
        {{.address = first.address()}, {.address = second.address}});
  ASSERT_TRUE(WaitFor(second.address, Health::kHealthy));
  const auto changed = Status(second.address).state_change_time;

  ASSERT_TRUE(control_.Apply({Remove("web", {first.address()})}).ok());

  // Probes of the second one fail, and the verdict of the first one still stands.
  ASSERT_TRUE(
      TestDataPlane::WaitUntil([&] { return Status(second.address).consecutive_failed > 2; }));
  EXPECT_EQ(Status(second.address).health, Health::kHealthy);
  EXPECT_EQ(Status(second.address).state_change_time, changed);
  EXPECT_EQ(Status(second.address).transitions, 0u);
}

TEST_F(GroupingTest, ANewMemberHasTheVerdictAtOnce) {
  testing::RefusedAddress down;
  TcpServer added(Greet("2"));
  Serve(Grouped(), {{.address = down.address}});
  ASSERT_TRUE(WaitFor(down.address, Health::kUnhealthy));

  ASSERT_TRUE(control_.Apply({Upsert("web", {{.address = added.address()}})}).ok());

  EXPECT_EQ(Status(added.address()).state, BackendState::kUnhealthy);
  EXPECT_EQ(Status(added.address()).reason, HealthReason::kGroupDown);
  EXPECT_THAT(Status(added.address()).detail, ::testing::HasSubstr(down.address.ToString()));
  EXPECT_EQ(added.accepted(), 0u);
}

TEST_F(GroupingTest, OverridesAndAdminStatesStayWithTheirBackend) {
  testing::RefusedAddress down;
  TcpServer forced(Greet("F")), third(Greet("3"));
  const Address address = Serve(
      Grouped(),
      {{.address = down.address}, {.address = forced.address()}, {.address = third.address()}});
  ASSERT_TRUE(WaitFor(third.address(), Health::kUnhealthy));

  ASSERT_TRUE(
      control_.Apply({Impose("web", {forced.address()}, {.health = HealthOverride::kForceHealthy})})
          .ok());

  EXPECT_EQ(Status(forced.address()).reason, HealthReason::kOverride);
  EXPECT_EQ(Status(third.address()).reason, HealthReason::kGroupDown);
  EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "F");
  // The probed one disabled: another one is probed, and answers.
  ASSERT_TRUE(
      control_.Apply({Impose("web", {down.address}, {.admin_state = AdminState::kDisabled})}).ok());
  EXPECT_TRUE(WaitFor(third.address(), Health::kHealthy));
  EXPECT_EQ(Status(down.address).state, BackendState::kDisabled);
}

TEST_F(GroupingTest, FailedConnectsOfOnePortEjectTheGroup) {
  testing::RefusedAddress refused;
  TcpServer sibling(Greet("s"));
  TcpServer a(Greet("a"), On("127.0.0.2")), b(Greet("b"), On("127.0.0.3"));
  TcpServer c(Greet("c"), On("127.0.0.4"));
  const Address address = Serve(Grouped(true, Mode::kRoundRobin, {.kind = HealthCheckKind::kNone}),
                                {{.address = refused.address},
                                 {.address = sibling.address()},
                                 {.address = a.address()},
                                 {.address = b.address()},
                                 {.address = c.address()}});

  ASSERT_TRUE(TestDataPlane::WaitUntil([&] {
    EXPECT_NE(TcpSocket::Connect(address).Receive(1), "");
    return Status(sibling.address()).ejected_until.has_value();
  }));
  control_.Settle();
  EXPECT_EQ(Status(sibling.address()).reason, HealthReason::kPassive);
  EXPECT_EQ(Status(sibling.address()).ejected_until, Status(refused.address).ejected_until);
  EXPECT_EQ(Status(a.address()).state, BackendState::kServing);
  for (int i = 0; i < 8; ++i) EXPECT_NE(TcpSocket::Connect(address).Receive(1), "s");
  // Who joins an ejected group is ejected with it.
  TcpServer late(Greet("l"));
  ASSERT_TRUE(control_.Apply({Upsert("web", {{.address = late.address()}})}).ok());
  EXPECT_EQ(Status(late.address()).ineligible_reason, IneligibleReason::kEjected);
}

TEST_F(GroupingTest, LeastConnectionsEvensOutIpsAndSwitchingKeepsSessions) {
  TcpServer first(testing::Echo), second(testing::Echo), third(testing::Echo);
  TcpServer other(testing::Echo, On("127.0.0.2"));
  const HealthCheckSpec none{.kind = HealthCheckKind::kNone};
  const Address address = Serve(Grouped(true, Mode::kLeastConnections, none),
                                {{.address = first.address()},
                                 {.address = second.address()},
                                 {.address = third.address()},
                                 {.address = other.address(), .weight = 300}});
  std::vector<TcpSocket> sessions;
  const auto open = [&](int count) {
    for (int i = 0; i < count; ++i) sessions.push_back(OpenEcho(address));
  };
  const auto active = [&](const TcpServer& server) {
    return Status(server.address()).active_connections;
  };
  open(12);
  EXPECT_EQ(active(other), 6u);
  for (const TcpServer* server : {&first, &second, &third}) EXPECT_EQ(active(*server), 2u);

  // Equal weights: without groups the next ones go to the ports, with them to the other IP.
  ASSERT_TRUE(control_
                  .Apply({Grouped(false, Mode::kLeastConnections, none),
                          Upsert("web", {{.address = other.address()}})})
                  .ok());
  open(3);
  EXPECT_EQ(active(first) + active(second) + active(third), 9u);
  ASSERT_TRUE(control_.Apply({Grouped(true, Mode::kLeastConnections, none)}).ok());
  open(3);
  // 9/300 against 6/100.
  EXPECT_EQ(active(first) + active(second) + active(third), 12u);
  EXPECT_EQ(active(other), 6u);
  for (TcpSocket& session : sessions) {
    ASSERT_TRUE(session.Send("y"));
    EXPECT_EQ(session.Receive(1), "y");
  }
}

TEST_F(GroupingTest, SwitchedOffEachPortIsProbedAgainAndOnOneIs) {
  TcpServer first(Greet("1")), second(Greet("2"));
  Serve(Grouped(), {{.address = first.address()}, {.address = second.address()}});
  ASSERT_TRUE(WaitFor(second.address(), Health::kHealthy));
  ASSERT_EQ(second.accepted(), 0u);

  ASSERT_TRUE(control_.Apply({Grouped(false)}).ok());
  EXPECT_EQ(Status(second.address()).health, Health::kHealthy);
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return second.accepted() > 0; }));
  EXPECT_TRUE(TestDataPlane::WaitUntil(
      [&] { return Status(second.address()).reason == HealthReason::kOk; }));

  ASSERT_TRUE(control_.Apply({Grouped()}).ok());
  // One may be under way; after that the count stands while the other one's goes on.
  const uint64_t then = first.accepted();
  ASSERT_TRUE(TestDataPlane::WaitUntil([&] { return first.accepted() > then + 2; }));
  const uint64_t second_then = second.accepted();
  ASSERT_TRUE(TestDataPlane::WaitUntil([&] { return first.accepted() > then + 7; }));
  EXPECT_EQ(second.accepted(), second_then);
  EXPECT_EQ(Status(second.address()).health, Health::kHealthy);
}

TEST_F(GroupingTest, TheLastOneGoesAndItsProbeWithIt) {
  TcpServer first(Greet("1")), second(Greet("2"));
  Serve(Grouped(), {{.address = first.address()}, {.address = second.address()}});
  ASSERT_TRUE(WaitFor(second.address(), Health::kHealthy));

  ASSERT_TRUE(
      control_.Apply({Remove("web", {second.address()}), Remove("web", {first.address()})}).ok());
  ASSERT_TRUE(control_.WaitUntilGone(first.address()));

  // What comes back is a new group.
  ASSERT_TRUE(control_.Apply({Upsert("web", {{.address = second.address()}})}).ok());
  EXPECT_TRUE(WaitFor(second.address(), Health::kHealthy));
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return second.accepted() > 0; }));
}

}  // namespace
}  // namespace sidelb::control
