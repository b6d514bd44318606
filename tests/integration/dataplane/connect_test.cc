// Connecting: other backends are tried before the first byte, limits hold, every failure is
// counted by its reason.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <map>
#include <vector>

#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"

namespace sidelb {
namespace {

using testing::End;
using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

TEST(ConnectTest, RefusedBackendsAreRetriedOnOthers) {
  testing::RefusedAddress refused_1, refused_2;
  TcpServer server(testing::Greet("hello"));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, refused_1.address);
  plane.AddBackend(1, refused_2.address);
  plane.AddBackend(1, server.address());
  const Address address = plane.Listen(1, {.pool = 1});
  for (int i = 0; i < 30; ++i) {
    TcpSocket client = TcpSocket::Connect(address);
    ASSERT_EQ(client.Receive(5), "hello") << i;
  }
  const auto& refused = *plane.backend(1, refused_1.address).backend;
  EXPECT_GT(plane.Sum(refused, &BackendCounters::connect_errors), 0u);
  EXPECT_EQ(plane.Sum(refused, &BackendCounters::sessions), 0u);
  EXPECT_EQ(refused.load.active, 0u);
  EXPECT_GT(refused.load.consecutive_failures, 0u);
}

TEST(ConnectTest, AllRefusedIsAResetCountedAsConnectFailed) {
  testing::RefusedAddress refused[4];
  TestDataPlane plane(1);
  plane.AddPool(1);
  for (auto& one : refused) plane.AddBackend(1, one.address);
  TcpSocket client = TcpSocket::Connect(plane.Listen(1, {.pool = 1}));
  EXPECT_EQ(client.WaitForEnd(), End::kReset);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kConnectFailed) == 1; }));
  uint64_t selected = 0;
  for (auto& one : refused) {
    const auto& backend = *plane.backend(1, one.address).backend;
    selected += plane.Sum(backend, &BackendCounters::selected);
    EXPECT_EQ(backend.load.active, 0u);
  }
  EXPECT_EQ(selected, 3u) << "three distinct backends, not more";
}

TEST(ConnectTest, AcceptedThenResetBeforeTheFirstByteIsRetried) {
  TcpServer resets([](TcpSocket& socket) { socket.Reset(); });
  TcpServer server(testing::Echo);
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, resets.address());
  plane.AddBackend(1, server.address());
  const Address address = plane.Listen(1, {.pool = 1});
  for (int i = 0; i < 10; ++i) {
    TcpSocket client = TcpSocket::Connect(address);
    // The client speaks only after the reset has been seen and mended.
    const auto& backend = *plane.backend(1, server.address()).backend;
    ASSERT_TRUE(plane.WaitUntil([&] {
      return plane.Sum(backend, &BackendCounters::sessions) == static_cast<uint64_t>(i + 1);
    }));
    client.Send("ping");
    EXPECT_EQ(client.Receive(4), "ping");
  }
}

TEST(ConnectTest, EmptyPoolIsNoBackend) {
  TestDataPlane plane(1);
  plane.AddPool(1);
  TcpSocket client = TcpSocket::Connect(plane.Listen(1, {.pool = 1}));
  EXPECT_EQ(client.WaitForEnd(), End::kReset);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kNoBackend) == 1; }));
}

TEST(ConnectTest, UnknownPoolIsNoBackend) {
  TestDataPlane plane(1);
  TcpSocket client = TcpSocket::Connect(plane.Listen(1, {.pool = 7}));
  EXPECT_EQ(client.WaitForEnd(), End::kReset);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kNoBackend) == 1; }));
}

TEST(ConnectTest, ConnectTimeoutTriesTheNextBackend) {
  testing::Hole hole;
  TcpServer server(testing::Greet("hello"));
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, hole.address());
  plane.AddBackend(1, server.address());
  const Address address =
      plane.Listen(1, {.pool = 1, .connect_timeout = std::chrono::milliseconds(100)});
  for (int i = 0; i < 2; ++i) {
    TcpSocket client = TcpSocket::Connect(address);
    EXPECT_EQ(client.Receive(5), "hello");
  }
  EXPECT_GE(plane.Sum(*plane.backend(1, hole.address()).backend, &BackendCounters::connect_errors),
            1u);
}

TEST(ConnectTest, BackendLimitIsNoCapacityAndIsFreedByAClose) {
  TcpServer server(testing::Greet("hello"));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, server.address()).max_connections = 2;
  const Address address = plane.Listen(1, {.pool = 1});
  TcpSocket first = TcpSocket::Connect(address), second = TcpSocket::Connect(address);
  EXPECT_EQ(first.Receive(5), "hello");
  EXPECT_EQ(second.Receive(5), "hello");
  TcpSocket third = TcpSocket::Connect(address);
  EXPECT_EQ(third.WaitForEnd(), End::kReset);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kNoCapacity) == 1; }));
  first.Close();
  EXPECT_TRUE(plane.WaitUntil(
      [&] { return plane.backend(1, server.address()).backend->load.active == 1; }));
  TcpSocket fourth = TcpSocket::Connect(address);
  EXPECT_EQ(fourth.Receive(5), "hello");
}

TEST(ConnectTest, ListenerLimitResets) {
  TcpServer server(testing::Greet("hello"));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = plane.Listen(1, {.pool = 1, .max_connections = 1});
  TcpSocket first = TcpSocket::Connect(address);
  EXPECT_EQ(first.Receive(5), "hello");
  TcpSocket second = TcpSocket::Connect(address);
  EXPECT_EQ(second.WaitForEnd(), End::kReset);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kListenerLimit) == 1; }));
}

TEST(ConnectTest, AtTheProcessCapTheKernelQueues) {
  TcpServer server(testing::Greet("hello"));
  TestDataPlane plane(2, /*max_connections=*/2);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = plane.Listen(1, {.pool = 1});
  TcpSocket first = TcpSocket::Connect(address), second = TcpSocket::Connect(address);
  EXPECT_EQ(first.Receive(5), "hello");
  EXPECT_EQ(second.Receive(5), "hello");
  TcpSocket third = TcpSocket::Connect(address);  // accepted by the kernel, not yet by a shard
  EXPECT_TRUE(third.is_open());
  EXPECT_EQ(plane.data_plane().active_sessions(), 2u);
  first.Close();
  EXPECT_EQ(third.Receive(5), "hello");
}

TEST(ConnectTest, OutOfDescriptorsIsSurvivedAndCounted) {
  TcpServer server(testing::Greet("hello"));
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = plane.Listen(1, {.pool = 1});
  TcpSocket client = TcpSocket::Connect(address);
  EXPECT_EQ(client.Receive(5), "hello");
  // Leave one descriptor: the next client takes it, and the shard finds none to accept with.
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const int next_free = dup(0);
  close(next_free);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(next_free) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  TcpSocket waiting = TcpSocket::Connect(address);
  EXPECT_TRUE(waiting.is_open());
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().faults().emfile > 0; }));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(waiting.Receive(5), "hello");
}

TEST(ConnectTest, RoundRobinOrderIsExactOverShards) {
  TcpServer a(testing::Greet("A")), b(testing::Greet("B")), c(testing::Greet("C"));
  TestDataPlane plane(4);
  plane.AddPool(1);
  for (const TcpServer* server : {&a, &b, &c}) plane.AddBackend(1, server->address());
  const Address address = plane.Listen(1, {.pool = 1});
  std::string order;
  std::vector<TcpSocket> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(TcpSocket::Connect(address));
    order += clients.back().Receive(1);
  }
  EXPECT_EQ(order, "ABCABCABCABC");
}

TEST(ConnectTest, LeastConnectionsFollowsLiveCounts) {
  TcpServer a(testing::Greet("A")), b(testing::Greet("B"));
  TestDataPlane plane(2);
  plane.AddPool(1, Mode::kLeastConnections);
  plane.AddBackend(1, a.address());
  plane.AddBackend(1, b.address()).weight = 200;
  const Address address = plane.Listen(1, {.pool = 1});
  std::map<std::string, std::vector<TcpSocket>> clients;
  for (int i = 0; i < 30; ++i) {
    TcpSocket client = TcpSocket::Connect(address);
    const std::string name = client.Receive(1);
    clients[name].push_back(std::move(client));
  }
  EXPECT_EQ(clients["A"].size(), 10u);
  EXPECT_EQ(clients["B"].size(), 20u);
  // All of B's sessions end: the next ones go there.
  clients["B"].clear();
  EXPECT_TRUE(
      plane.WaitUntil([&] { return plane.backend(1, b.address()).backend->load.active == 0; }));
  for (int i = 0; i < 10; ++i) {
    clients["later"].push_back(TcpSocket::Connect(address));
    EXPECT_EQ(clients["later"].back().Receive(1), "B");
  }
}

}  // namespace
}  // namespace sidelb
