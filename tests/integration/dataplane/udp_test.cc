// UDP through the data plane: sessions, their end, other backends at once, bounds.
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <set>
#include <vector>

#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"
#include "tests/support/udp.h"

namespace sidelb {
namespace {

using testing::TestDataPlane;
using testing::UdpServer;
using testing::UdpSocket;

UdpServer::Handler Named(std::string name) {
  return [name](std::string_view data) { return name + std::string(data); };
}

class UdpTest : public ::testing::Test {
 protected:
  Address Listen(TestDataPlane& plane, ListenerSettings settings = {},
                 const Address& address = *Address::Parse("127.0.0.1:0")) {
    settings.transport = Transport::kUdp;
    settings.pool = 1;
    return plane.Listen(1, settings, address);
  }
};

TEST_F(UdpTest, EchoesAndKeepsOneBackendForAClient) {
  UdpServer a(Named("A")), b(Named("B"));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, a.address());
  plane.AddBackend(1, b.address());
  const Address address = Listen(plane);
  std::set<std::string> names;
  for (int client = 0; client < 6; ++client) {
    UdpSocket socket(*Address::Parse("127.0.0.1:0"), address);
    std::string name;
    for (int i = 0; i < 20; ++i) {
      socket.Send("x" + std::to_string(i));
      const auto answer = socket.Receive();
      ASSERT_TRUE(answer.has_value());
      EXPECT_EQ(answer->substr(1), "x" + std::to_string(i));
      if (i == 0) name = answer->substr(0, 1);
      EXPECT_EQ(answer->substr(0, 1), name);
    }
    names.insert(name);
  }
  EXPECT_EQ(names.size(), 2u);
  EXPECT_EQ(plane.data_plane().active_sessions(), 6u);
}

TEST_F(UdpTest, EverySizeFromEmptyToTheLargest) {
  UdpServer server(Named(""));
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), Listen(plane));
  for (size_t size : {0, 1, 512, 1'472, 2'048, 2'049, 9'000, 65'507}) {
    const std::string data(size, static_cast<char>('a' + size % 26));
    ASSERT_TRUE(socket.Send(data)) << size;
    EXPECT_EQ(socket.Receive(), data) << size;
  }
}

TEST_F(UdpTest, AnswersLeaveFromTheAddressThatTheClientWroteTo) {
  UdpServer server(Named(""));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = Listen(plane, {}, *Address::Parse("0.0.0.0:0"));
  UdpSocket socket(*Address::Parse("127.0.0.1:0"));
  for (const char* host : {"127.0.0.1:0", "127.0.0.9:0", "127.1.2.3:0"}) {
    const Address to = Address::Parse(host)->WithPort(address.port());
    socket.SendTo("ping", to);
    Address from;
    EXPECT_EQ(socket.Receive(&from), "ping");
    EXPECT_EQ(from, to);
  }
}

TEST_F(UdpTest, IPv6AndDualStack) {
  UdpServer server(Named(""), *Address::Parse("[::1]:0"));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = Listen(plane, {}, *Address::Parse("[::]:0"));
  for (const char* host : {"127.0.0.1:0", "127.0.0.5:0", "[::1]:0"}) {
    const Address to = Address::Parse(host)->WithPort(address.port());
    UdpSocket socket(*Address::Parse(to.is_v6() ? "[::1]:0" : "127.0.0.1:0"));
    socket.SendTo("ping", to);
    Address from;
    EXPECT_EQ(socket.Receive(&from), "ping") << host;
    EXPECT_EQ(from, to);
  }
}

TEST_F(UdpTest, ABackendThatIsGoneIsLeftWithoutLosingTheNextDatagram) {
  auto gone = std::make_unique<UdpServer>(Named("A"));
  UdpServer other(Named("B"));
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, gone->address());
  plane.AddBackend(1, other.address());
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), Listen(plane));
  socket.Send("1");
  EXPECT_EQ(socket.Receive(), "A1");
  const auto& backend = *plane.backend(1, gone->address()).backend;
  gone.reset();
  // This one dies on the closed port, of which ICMP tells.
  socket.Send("2");
  ASSERT_TRUE(
      plane.WaitUntil([&] { return plane.Sum(backend, &BackendCounters::connect_errors) > 0; }));
  socket.Send("3");
  EXPECT_EQ(socket.Receive(), "B3");
  EXPECT_EQ(backend.load.active, 0u);
}

TEST_F(UdpTest, ADisabledBackendIsLeftAtOnceAndADrainingOneKept) {
  UdpServer a(Named("A")), b(Named("B"));
  TestDataPlane plane(2);
  plane.AddPool(1);
  TestDataPlane::BackendState& first = plane.AddBackend(1, a.address());
  plane.AddBackend(1, b.address());
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), Listen(plane));
  socket.Send("1");
  EXPECT_EQ(socket.Receive(), "A1");
  first.admin_state = AdminState::kDraining;
  plane.Publish({{.backend = first.backend.get(), .repick_connecting = true}});
  socket.Send("2");
  EXPECT_EQ(socket.Receive(), "A2");
  first.admin_state = AdminState::kDisabled;
  plane.Publish({{.backend = first.backend.get(), .close = CloseReason::kBackendDisabled}});
  socket.Send("3");
  EXPECT_EQ(socket.Receive(), "B3");
  EXPECT_EQ(first.backend->load.active, 0u);
}

TEST_F(UdpTest, AnUnhealthyBackendIsLeftAtOnce) {
  UdpServer a(Named("A")), b(Named("B"));
  TestDataPlane plane(1);
  plane.AddPool(1);
  TestDataPlane::BackendState& first = plane.AddBackend(1, a.address());
  plane.AddBackend(1, b.address());
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), Listen(plane));
  socket.Send("1");
  EXPECT_EQ(socket.Receive(), "A1");
  first.weight = 0;  // as good as unhealthy for the pick
  plane.Publish({{.backend = first.backend.get(), .move_datagram_sessions = true}});
  socket.Send("2");
  EXPECT_EQ(socket.Receive(), "B2");
}

TEST_F(UdpTest, RequestResponseEndsWithTheAnswer) {
  UdpServer server(Named(""));
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  UdpSocket socket(*Address::Parse("127.0.0.1:0"),
                   Listen(plane, {.udp_policy = UdpPolicy::kRequestResponse}));
  for (int i = 0; i < 5; ++i) {
    socket.Send("q");
    EXPECT_EQ(socket.Receive(), "q");
    EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  }
  EXPECT_EQ(plane.closes(1, CloseReason::kFinished), 5u);
}

// A resolver asks for A and AAAA from one port, and waits for both.
TEST_F(UdpTest, RequestResponsePassesOnTheAnswersToAllThatWasAsked) {
  UdpSocket backend;
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, backend.local());
  UdpSocket socket(*Address::Parse("127.0.0.1:0"),
                   Listen(plane, {.udp_policy = UdpPolicy::kRequestResponse}));
  Address asker;
  socket.Send("A");
  EXPECT_EQ(backend.Receive(&asker), "A");
  socket.Send("AAAA");
  EXPECT_EQ(backend.Receive(&asker), "AAAA");

  backend.SendTo("192.0.2.1", asker);
  EXPECT_EQ(socket.Receive(), "192.0.2.1");
  EXPECT_EQ(plane.data_plane().active_sessions(), 1u);
  backend.SendTo("2001:db8::1", asker);
  EXPECT_EQ(socket.Receive(), "2001:db8::1");

  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  EXPECT_EQ(plane.closes(1, CloseReason::kFinished), 1u);
}

TEST_F(UdpTest, PerPacketPicksAnew) {
  std::atomic<int> a_count{0}, b_count{0};
  UdpServer a([&](std::string_view) {
    ++a_count;
    return std::nullopt;
  });
  UdpServer b([&](std::string_view) {
    ++b_count;
    return std::nullopt;
  });
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, a.address());
  plane.AddBackend(1, b.address());
  UdpSocket socket(*Address::Parse("127.0.0.1:0"),
                   Listen(plane, {.udp_policy = UdpPolicy::kPerPacket}));
  for (int i = 0; i < 10; ++i) {
    socket.Send("log line");
    ASSERT_TRUE(plane.WaitUntil([&] { return a_count + b_count == i + 1; }));
  }
  EXPECT_EQ(a_count, 5);
  EXPECT_EQ(b_count, 5);
}

TEST_F(UdpTest, IdleSessionsEnd) {
  UdpServer server(Named(""));
  UdpServer silent([](std::string_view) { return std::nullopt; });
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = Listen(plane, {.udp_session_timeout = std::chrono::milliseconds(100),
                                         .udp_unanswered_timeout = std::chrono::milliseconds(50)});
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), address);
  socket.Send("x");
  EXPECT_EQ(socket.Receive(), "x");
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kIdleTimeout) == 1; }));
  socket.Send("y");
  EXPECT_EQ(socket.Receive(), "y") << "a new session begins";
}

TEST_F(UdpTest, AFloodOfSourcesStaysBoundedAndAnsweredSessionsLive) {
  UdpServer server([](std::string_view data) -> std::optional<std::string> {
    if (data == "hello") return "hello";
    return std::nullopt;
  });
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = Listen(plane, {.max_connections = 20});
  UdpSocket good(*Address::Parse("127.0.0.1:0"), address);
  good.Send("hello");
  EXPECT_EQ(good.Receive(), "hello");
  std::vector<std::unique_ptr<UdpSocket>> flood;
  for (int i = 0; i < 200; ++i) {
    flood.push_back(std::make_unique<UdpSocket>(*Address::Parse("127.0.0.1:0"), address));
    flood.back()->Send("spoofed");
  }
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kEvicted) == 181; }));
  EXPECT_EQ(plane.data_plane().active_sessions(), 20u);
  good.Send("hello");
  EXPECT_EQ(good.Receive(), "hello");
  EXPECT_LE(plane.backend(1, server.address()).backend->load.active, 20u);
}

TEST_F(UdpTest, EvictionWithinABatchLeaksNoPlace) {
  UdpServer silent([](std::string_view) { return std::nullopt; });
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, silent.address());
  const Address address = Listen(plane, {.max_connections = 1});
  // Every datagram of a batch begins a session and evicts the one before it.
  std::vector<std::unique_ptr<UdpSocket>> sockets;
  for (int i = 0; i < 64; ++i) {
    sockets.push_back(std::make_unique<UdpSocket>(*Address::Parse("127.0.0.1:0"), address));
  }
  for (int round = 0; round < 20; ++round) {
    for (auto& socket : sockets) socket->Send("x");
  }
  plane.Unlisten(1);
  EXPECT_EQ(plane.data_plane().active_sessions(), 0u);
  EXPECT_EQ(plane.backend(1, silent.address()).backend->load.active, 0u);
}

TEST_F(UdpTest, SessionsFollowTheirListenerToAnotherPool) {
  UdpServer a(Named("A")), b(Named("B"));
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddPool(2);
  TestDataPlane::BackendState& first = plane.AddBackend(1, a.address());
  plane.AddBackend(2, b.address());
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), Listen(plane));
  socket.Send("1");
  EXPECT_EQ(socket.Receive(), "A1");
  first.is_member = false;
  std::vector<ListenerChange> changes;
  changes.push_back({.id = 1,
                     .settings = ListenerSettings{.transport = Transport::kUdp, .pool = 2},
                     .load = &plane.listener(1)});
  plane.Publish({{.backend = first.backend.get(), .close = CloseReason::kDrainDeadline}},
                std::move(changes));
  socket.Send("2");
  EXPECT_EQ(socket.Receive(), "B2");
}

TEST_F(UdpTest, ASessionThatNeverFoundABackendEndsForThatReason) {
  TestDataPlane plane(1);
  plane.AddPool(1);
  UdpSocket socket(*Address::Parse("127.0.0.1:0"),
                   Listen(plane, {.udp_unanswered_timeout = std::chrono::milliseconds(50)}));
  socket.Send("x");
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kNoBackend) == 1; }));
  const auto reason = static_cast<size_t>(CloseReason::kNoBackend);
  EXPECT_EQ(plane.pool_load(1).counters[0].closes[reason].value(), 1u);
  EXPECT_EQ(plane.closes(1, CloseReason::kIdleTimeout), 0u);
}

TEST_F(UdpTest, AClientHasACapOfItsOwn) {
  UdpServer server(Named(""));
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = Listen(plane, {.max_sessions_per_client = 2});
  std::vector<std::unique_ptr<UdpSocket>> sockets;
  for (int i = 0; i < 3; ++i) {
    sockets.push_back(std::make_unique<UdpSocket>(*Address::Parse("127.0.0.1:0"), address));
    sockets.back()->Send("x");
    if (i < 2) {
      EXPECT_EQ(sockets.back()->Receive(), "x");
    }
  }
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kClientLimit) == 1; }));
  UdpSocket other(*Address::Parse("127.0.0.2:0"), address);
  other.Send("x");
  EXPECT_EQ(other.Receive(), "x");
}

TEST_F(UdpTest, ARemovedListenerEndsItsSessionsAndFreesTheAddress) {
  UdpServer server(Named(""));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = Listen(plane);
  EXPECT_FALSE(plane.data_plane().Bind(address, Transport::kUdp).ok());
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), address);
  socket.Send("x");
  EXPECT_EQ(socket.Receive(), "x");
  plane.Unlisten(1);
  EXPECT_EQ(plane.data_plane().active_sessions(), 0u);
  EXPECT_TRUE(plane.data_plane().Bind(address, Transport::kUdp).ok());
}

TEST_F(UdpTest, ALingeringListenerDeliversTheAnswersThatAreDue) {
  UdpSocket backend;  // answers when the test does
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, backend.local());
  const Address address = Listen(plane, {.udp_policy = UdpPolicy::kRequestResponse});
  UdpSocket old_client(*Address::Parse("127.0.0.1:0"), address);
  old_client.Send("question");
  Address session;
  ASSERT_EQ(backend.Receive(&session), "question");

  plane.Unlisten(1, /*lingers=*/true);
  UdpSocket new_client(*Address::Parse("127.0.0.1:0"), address);
  new_client.Send("too late");
  old_client.Send("again");  // of a session that there is
  EXPECT_EQ(backend.Receive(), "again");
  backend.SendTo("answer", session);
  EXPECT_EQ(old_client.Receive(), "answer");
  EXPECT_EQ(plane.data_plane().active_sessions(), 1u);  // one more is due
  backend.SendTo("another", session);
  EXPECT_EQ(old_client.Receive(), "another");
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  EXPECT_EQ(plane.closes(1, CloseReason::kFinished), 1u);
  // Then every shard closes its socket: who writes now is told so.
  EXPECT_TRUE(plane.WaitUntil([&] { return !new_client.Send("x") && errno == ECONNREFUSED; }));
}

TEST_F(UdpTest, ALingeringListenerEndsWhatIsQuiet) {
  UdpServer server(Named(""));
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = Listen(plane);  // its sessions last for a minute
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), address);
  socket.Send("x");
  EXPECT_EQ(socket.Receive(), "x");
  plane.Unlisten(1, /*lingers=*/true);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  EXPECT_EQ(plane.closes(1, CloseReason::kFinished), 1u);
}

TEST_F(UdpTest, ALingeringListenerHoldsNothingThatExpectsNoAnswer) {
  UdpServer server(Named(""));
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = Listen(plane, {.udp_policy = UdpPolicy::kOneWay});
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), address);
  socket.Send("x");
  EXPECT_TRUE(plane.WaitUntil([&] { return server.received() == 1; }));
  plane.Unlisten(1, /*lingers=*/true);
  EXPECT_EQ(plane.data_plane().active_sessions(), 0u);
}

TEST_F(UdpTest, ManyClientsAtOnceLoseNothing) {
  UdpServer a(Named("")), b(Named("")), c(Named(""));
  TestDataPlane plane(2);
  plane.AddPool(1, Mode::kLeastConnections);
  for (const UdpServer* server : {&a, &b, &c}) plane.AddBackend(1, server->address());
  const Address address = Listen(plane);
  std::vector<std::thread> clients;
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&, i] {
      UdpSocket socket(*Address::Parse("127.0.0.1:0"), address);
      for (int round = 0; round < 200; ++round) {
        const std::string data = std::to_string(i) + ":" + std::to_string(round);
        socket.Send(data);
        ASSERT_EQ(socket.Receive(), data);
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace sidelb
