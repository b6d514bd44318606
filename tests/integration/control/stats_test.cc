// What is counted of real sessions, and that no change of the configuration loses it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/control/sync_controller.h"
#include "tests/support/udp.h"

namespace sidelb::control {
namespace {

using testing::Echo;
using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;
using testing::UdpServer;
using testing::UdpSocket;

Address AnyPort() { return At("127.0.0.1:0"); }

class StatsTest : public ::testing::Test {
 protected:
  // Pool `web` without probes, so that only the test's sessions are counted, behind `http`.
  Address Serve(const std::vector<Address>& addresses, ListenerSpec listener = {}) {
    std::vector<BackendSpec> backends;
    for (const Address& address : addresses) backends.push_back({.address = address});
    const HealthCheckSpec none{.kind = HealthCheckKind::kNone, .passive_failures = 0};
    listener.name = "http";
    listener.address = AnyPort();
    listener.pool = "web";
    const auto applied =
        control_.Apply({{.op = PutPool{.spec = {.name = "web", .health_check = none}}},
                        Upsert("web", backends),
                        {.op = PutListener{listener}}});
    EXPECT_TRUE(applied.ok()) << applied.status();
    return control_.ListenAddress("http");
  }
  // An empty row when there is none.
  StatRow Row(StatKind kind, const Address& address = Address()) {
    for (StatRow& row : control_.GetStats().rows) {
      if (row.kind == kind && (kind != StatKind::kBackend || row.address == address)) return row;
    }
    return {.name = "none"};
  }
  StatRow Pool() { return Row(StatKind::kPool); }
  StatRow Http() { return Row(StatKind::kListener); }
  StatRow Of(const Address& backend) { return Row(StatKind::kBackend, backend); }
  bool WaitFor(const std::function<bool()>& condition) {
    return TestDataPlane::WaitUntil(condition);
  }
  bool WaitUntilIdle() {
    return WaitFor([&] { return Http().active == 0 && Pool().active == 0; });
  }
  // A whole session of one byte each way.
  void EchoOnce(const Address& address) {
    TcpSocket session = OpenEcho(address);
    session.SendFin();
    session.ReceiveAll();
  }
  static uint64_t Closes(const StatRow& row, CloseReason reason) {
    return row.totals.closes[static_cast<size_t>(reason)];
  }

  SyncController control_;
};

TEST_F(StatsTest, CountersFollowSessions) {
  TcpServer a(Echo), b(Echo);
  const Address address = Serve({a.address(), b.address()});
  TcpSocket first = OpenEcho(address), second = OpenEcho(address);
  EXPECT_TRUE(WaitFor([&] { return Pool().totals.bytes_out == 2; }));

  for (const StatRow& row : {Http(), Pool()}) {
    EXPECT_EQ(row.active, 2u);
    EXPECT_EQ(row.peak_active, 2u);
    EXPECT_EQ(row.totals.sessions, 2u);
    EXPECT_EQ(row.totals.bytes_in, 2u);
    EXPECT_EQ(row.totals.bytes_out, 2u);
    EXPECT_EQ(row.totals.packets_in, 0u);
    EXPECT_EQ(row.totals.connect_errors, 0u);
  }
  EXPECT_EQ(Pool().totals.selected, 2u);
  for (const TcpServer* server : {&a, &b}) {
    const StatRow row = Of(server->address());
    EXPECT_EQ(row.active, 1u);
    EXPECT_EQ(row.peak_active, 1u);
    EXPECT_EQ(row.totals.sessions, 1u);
    EXPECT_EQ(row.totals.selected, 1u);
    EXPECT_EQ(row.totals.bytes_in, 1u);
    EXPECT_GT(row.totals.connect_latency.Percentile(0.5)->count(), 0);
  }
  EXPECT_TRUE(Pool().totals.connect_latency.Percentile(0.99).has_value());

  for (TcpSocket* session : {&first, &second}) {
    session->SendFin();
    session->ReceiveAll();
  }
  EXPECT_TRUE(WaitUntilIdle());
  for (const StatRow& row : {Http(), Pool()}) {
    EXPECT_EQ(Closes(row, CloseReason::kFinished), 2u);
    EXPECT_EQ(row.peak_active, 2u);
    EXPECT_EQ(row.totals.rejected, 0u);
  }
}

TEST_F(StatsTest, RowsAreThoseThatTheFilterSelectsInTheOrderOfTheState) {
  ASSERT_TRUE(control_
                  .Apply({control::Pool("web"), control::Pool("api"),
                          Upsert("web", {B("10.0.0.2:80"), B("10.0.0.1:80")}),
                          Upsert("api", {B("10.0.0.3:80")}), Listener("z", "127.0.0.1:0", "api"),
                          Listener("a", "127.0.0.1:0", "web")})
                  .ok());
  const auto names = [&](const Filter& filter) {
    std::vector<std::string> all;
    for (const StatRow& row : control_.GetStats(filter).rows) {
      all.push_back(row.kind == StatKind::kBackend ? row.name + "/" + row.address.ToString()
                                                   : row.name);
    }
    return all;
  };
  EXPECT_THAT(names({}), ::testing::ElementsAre("a", "z", "api", "web", "api/10.0.0.3:80",
                                                "web/10.0.0.1:80", "web/10.0.0.2:80"));
  EXPECT_THAT(names({.pools = {"web"}}),
              ::testing::ElementsAre("a", "web", "web/10.0.0.1:80", "web/10.0.0.2:80"));
  EXPECT_THAT(names({.with_listeners = false, .with_pools = false}),
              ::testing::ElementsAre("api/10.0.0.3:80", "web/10.0.0.1:80", "web/10.0.0.2:80"));
  EXPECT_THAT(names({.backends = Selector{.addresses = {At("10.0.0.2:80")}}}),
              ::testing::ElementsAre("a", "z", "api", "web", "web/10.0.0.2:80"));
  const Stats stats = control_.GetStats();
  EXPECT_EQ(stats.since, control_.GetInfo().start_time);
  EXPECT_GE(stats.time, stats.since);
}

TEST_F(StatsTest, FailedConnectsCountWhereTheyHappen) {
  testing::RefusedAddress refused;
  TcpServer good(Echo);
  const Address address = Serve({refused.address, good.address()});
  for (int i = 0; i < 4; ++i) EchoOnce(address);
  EXPECT_TRUE(WaitUntilIdle());

  const uint64_t errors = Of(refused.address).totals.connect_errors;
  EXPECT_GT(errors, 0u);
  EXPECT_EQ(Of(refused.address).totals.retries, errors);
  EXPECT_EQ(Of(refused.address).totals.selected, errors);
  EXPECT_EQ(Of(refused.address).totals.sessions, 0u);
  EXPECT_EQ(Of(good.address()).totals.connect_errors, 0u);
  EXPECT_EQ(Of(good.address()).totals.sessions, 4u);
  for (const StatRow& row : {Http(), Pool()}) {
    EXPECT_EQ(row.totals.connect_errors, errors);
    EXPECT_EQ(row.totals.retries, errors);
    EXPECT_EQ(row.totals.connect_timeouts, 0u);
    EXPECT_EQ(row.totals.rejected, 0u);
  }

  ASSERT_TRUE(control_.Apply({Remove("web", {good.address()})}).ok());
  EXPECT_EQ(TcpSocket::Connect(address).WaitForEnd(), testing::End::kReset);
  EXPECT_TRUE(WaitFor([&] { return Pool().totals.rejected == 1; }));
  EXPECT_EQ(Http().totals.rejected, 1u);
  EXPECT_EQ(Closes(Pool(), CloseReason::kConnectFailed), 1u);
}

TEST_F(StatsTest, ConnectsThatTakeTooLongAreTimeouts) {
  testing::Hole hole;
  const Address address =
      Serve({hole.address()}, {.connect_timeout = absl::Milliseconds(50), .connect_attempts = 1});
  EXPECT_EQ(TcpSocket::Connect(address).WaitForEnd(), testing::End::kReset);
  EXPECT_TRUE(WaitFor([&] { return Pool().totals.rejected == 1; }));
  for (const StatRow& row : {Http(), Pool(), Of(hole.address())}) {
    EXPECT_EQ(row.totals.connect_timeouts, 1u);
    EXPECT_EQ(row.totals.connect_errors, 1u);
    EXPECT_EQ(row.totals.retries, 0u);
  }
}

TEST_F(StatsTest, SessionsBeyondTheListenersLimitAreItsRejections) {
  TcpServer a(Echo);
  const Address address = Serve({a.address()}, {.max_connections = 1});
  TcpSocket kept = OpenEcho(address);
  EXPECT_EQ(TcpSocket::Connect(address).WaitForEnd(), testing::End::kReset);
  EXPECT_TRUE(WaitFor([&] { return Http().totals.rejected == 1; }));
  EXPECT_EQ(Closes(Http(), CloseReason::kListenerLimit), 1u);
  EXPECT_EQ(Http().totals.sessions, 2u);
  EXPECT_EQ(Http().peak_active, 1u);
  EXPECT_EQ(Pool().totals.rejected, 0u) << "it never came that far";
}

TEST_F(StatsTest, PeaksOfSelectedRowsBeginAnew) {
  TcpServer a(Echo);
  const Address address = Serve({a.address()});
  TcpSocket first = OpenEcho(address), second = OpenEcho(address), third = OpenEcho(address);
  for (TcpSocket* session : {&second, &third}) session->Close();
  EXPECT_TRUE(WaitFor([&] { return Http().active == 1 && Pool().active == 1; }));

  const Stats before = control_.GetStats({.with_listeners = false}, /*reset_peaks=*/true);

  for (const StatRow& row : before.rows) EXPECT_EQ(row.peak_active, 3u);
  EXPECT_EQ(Pool().peak_active, 1u);
  EXPECT_EQ(Of(a.address()).peak_active, 1u);
  EXPECT_EQ(Http().peak_active, 3u) << "it was not selected";
  TcpSocket again = OpenEcho(address);
  EXPECT_EQ(Pool().peak_active, 2u);
  EXPECT_EQ(Of(a.address()).peak_active, 2u);
}

TEST_F(StatsTest, WhatRemovedBackendsDidStaysInTheirPool) {
  TcpServer a(Echo), b(Echo);
  const Address address = Serve({a.address()});
  for (int i = 0; i < 3; ++i) EchoOnce(address);
  EXPECT_TRUE(WaitUntilIdle());

  ASSERT_TRUE(control_.Apply({Replace("web", {{.address = b.address()}})}).ok());
  EXPECT_TRUE(control_.WaitUntilGone(a.address()));

  EXPECT_EQ(Of(a.address()).name, "none");
  EXPECT_EQ(Pool().totals.sessions, 3u);
  EXPECT_EQ(Pool().totals.selected, 3u);
  EXPECT_EQ(Pool().totals.bytes_in, 3u);
  EXPECT_EQ(Closes(Pool(), CloseReason::kFinished), 3u);
  EXPECT_TRUE(Pool().totals.connect_latency.Percentile(0.5).has_value());
  EchoOnce(address);
  EXPECT_TRUE(WaitUntilIdle());
  EXPECT_EQ(Of(b.address()).totals.sessions, 1u);
  EXPECT_EQ(Pool().totals.sessions, 4u);

  // One that comes back after its end is another one.
  ASSERT_TRUE(control_.Apply({Replace("web", {{.address = a.address()}})}).ok());
  EXPECT_EQ(Of(a.address()).totals.sessions, 0u);
  EXPECT_TRUE(control_.WaitUntilGone(b.address()));
  EXPECT_EQ(Pool().totals.sessions, 4u);
}

TEST_F(StatsTest, AnAddressThatComesBackWhileItDrainsKeepsItsCounts) {
  TcpServer a(Echo);
  const Address address = Serve({a.address()});
  TcpSocket session = OpenEcho(address);
  ASSERT_TRUE(control_.Apply({Remove("web", {a.address()})}).ok());
  EXPECT_EQ(Of(a.address()).totals.sessions, 1u) << "it drains";
  EXPECT_EQ(Pool().active, 1u);

  ASSERT_TRUE(control_.Apply({Upsert("web", {{.address = a.address()}})}).ok());
  EchoOnce(address);
  session.Close();
  EXPECT_TRUE(WaitUntilIdle());

  EXPECT_EQ(Of(a.address()).totals.sessions, 2u);
  EXPECT_EQ(Pool().totals.sessions, 2u);
}

TEST_F(StatsTest, TotalsOfAPoolNeverFallWhateverChanges) {
  TcpServer a(Echo), b(Echo);
  const Address address = Serve({a.address(), b.address()});
  const std::vector<BackendSpec> sets[] = {{{.address = a.address()}},
                                           {{.address = b.address()}},
                                           {{.address = a.address(), .weight = 7}}};
  uint64_t sessions = 0, bytes = 0;
  for (int round = 0; round < 12; ++round) {
    EchoOnce(address);
    const auto mode = round % 2 == 0 ? Mode::kLeastConnections : Mode::kP2c;
    ASSERT_TRUE(
        control_
            .Apply({Replace("web", sets[round % 3]), {.op = SetMode{.pool = "web", .mode = mode}}})
            .ok());
    const StatRow row = Pool();
    EXPECT_GE(row.totals.sessions, sessions);
    EXPECT_GE(row.totals.bytes_out, bytes);
    sessions = row.totals.sessions;
    bytes = row.totals.bytes_out;
  }
  EXPECT_TRUE(WaitUntilIdle());
  EXPECT_TRUE(WaitFor([&] { return control_.Read()->backends.size() == 1; }));
  EXPECT_EQ(Pool().totals.sessions, 12u);
  EXPECT_EQ(Pool().totals.bytes_out, 12u);
  EXPECT_EQ(Http().totals.sessions, 12u);
}

TEST_F(StatsTest, AListenersCountsMoveWithIt) {
  TcpServer a(Echo);
  EchoOnce(Serve({a.address()}));
  EXPECT_TRUE(WaitUntilIdle());
  ASSERT_TRUE(
      control_.Apply({control::Pool("other"), Upsert("other", {{.address = a.address()}})}).ok());

  // To other sockets, through a pause, and to another pool.
  ListenerSpec spec{.name = "http", .address = At("127.0.0.2:0"), .pool = "web"};
  ASSERT_TRUE(control_.Apply({{.op = PutListener{spec}}}).ok());
  EchoOnce(control_.ListenAddress("http"));
  spec.disabled = true;
  ASSERT_TRUE(control_.Apply({{.op = PutListener{spec}}}).ok());
  spec.disabled = false;
  spec.pool = "other";
  ASSERT_TRUE(control_.Apply({{.op = PutListener{spec}}}).ok());
  EchoOnce(control_.ListenAddress("http"));
  EXPECT_TRUE(WaitFor([&] { return Closes(Http(), CloseReason::kFinished) == 3; }));
  EXPECT_EQ(Http().totals.sessions, 3u);

  // A listener that takes the sockets over begins its own count.
  const Address held = control_.ListenAddress("http");
  ASSERT_TRUE(
      control_.Apply({{.op = RemoveListener{"http"}}, Listener("next", held.ToString(), "web")})
          .ok());
  EchoOnce(held);
  EXPECT_TRUE(WaitFor([&] { return Closes(Http(), CloseReason::kFinished) == 1; }));
  EXPECT_EQ(Http().name, "next");
  EXPECT_EQ(Http().totals.sessions, 1u);
}

TEST_F(StatsTest, DatagramsAreCountedBothWays) {
  UdpServer server([](std::string_view data) { return std::string(data) + "!"; });
  const Address address = Serve({server.address()}, {.protocol = Protocol::kUdp});
  UdpSocket socket(AnyPort(), address);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(socket.Send("four"));
    EXPECT_EQ(socket.Receive(), "four!");
  }
  EXPECT_TRUE(WaitFor([&] { return Pool().totals.bytes_out == 25; }));
  for (const StatRow& row : {Http(), Pool(), Of(server.address())}) {
    EXPECT_EQ(row.active, 1u);
    EXPECT_EQ(row.peak_active, 1u);
    EXPECT_EQ(row.totals.sessions, 1u);
    EXPECT_EQ(row.totals.packets_in, 5u);
    EXPECT_EQ(row.totals.packets_out, 5u);
    EXPECT_EQ(row.totals.bytes_in, 20u);
    EXPECT_EQ(row.totals.bytes_out, 25u);
    EXPECT_FALSE(row.totals.connect_latency.Percentile(0.5).has_value());
  }
}

TEST_F(StatsTest, ProbesAreCountedOverAllChangesOfTheirBackend) {
  TcpServer a(Echo);
  testing::RefusedAddress refused;
  PoolSpec pool{.name = "web",
                .health_check = HealthCheckSpec{.kind = HealthCheckKind::kTcpConnect,
                                                .interval = absl::Milliseconds(50)}};
  BackendSpec backend{.address = a.address()};
  ASSERT_TRUE(control_.Apply({{.op = PutPool{pool}}, Upsert("web", {backend})}).ok());
  EXPECT_TRUE(WaitFor([&] { return Of(a.address()).totals.probes >= 2; }));
  EXPECT_EQ(Of(a.address()).totals.probes_failed, 0u);

  backend.probe_address = refused.address;
  ASSERT_TRUE(control_.Apply({Upsert("web", {backend})}).ok());
  EXPECT_TRUE(WaitFor([&] { return Of(a.address()).totals.probes_failed >= 1; }));
  EXPECT_GE(Of(a.address()).totals.probes, 3u);

  ASSERT_TRUE(control_.Apply({Remove("web", {a.address()})}).ok());
  EXPECT_TRUE(control_.WaitUntilGone(a.address()));
  EXPECT_GE(Pool().totals.probes, 3u);
  EXPECT_GE(Pool().totals.probes_failed, 1u);
}

}  // namespace
}  // namespace sidelb::control
