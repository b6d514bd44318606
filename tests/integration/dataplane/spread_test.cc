// How TCP sessions are spread over the shards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"

namespace sidelb {
namespace {

using ::testing::Each;
using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

std::vector<TcpSocket> Open(const Address& address, int count) {
  std::vector<TcpSocket> sockets;
  for (int i = 0; i < count; ++i) {
    sockets.push_back(TcpSocket::Connect(address));
    EXPECT_TRUE(sockets.back().Send("x"));
    EXPECT_EQ(sockets.back().Receive(1), "x");
  }
  return sockets;
}

// Sessions that each shard has begun.
std::vector<uint64_t> Begun(const Backend& backend, size_t shards) {
  std::vector<uint64_t> counts;
  for (size_t i = 0; i < shards; ++i) {
    const BackendShard* const shard = backend.FindShard(i);
    counts.push_back(shard == nullptr ? 0 : shard->counters.sessions.value());
  }
  return counts;
}

TEST(SpreadTest, FewLongConnectionsAreOnAllShardsAlike) {
  constexpr size_t kShards = 4;
  TcpServer server(testing::Echo);
  TestDataPlane plane(kShards);
  plane.AddPool(1);
  const Backend& backend = *plane.AddBackend(1, server.address()).backend;
  const Address address = plane.Listen(1, {.pool = 1});
  {
    const std::vector<TcpSocket> sockets = Open(address, 16);
    EXPECT_THAT(Begun(backend, kShards), Each(4u));
    EXPECT_EQ(plane.data_plane().active_sessions(), 16u);
    EXPECT_EQ(plane.listener(1).active.load(), 16u);
  }
  // Those that ended count no more.
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  const std::vector<TcpSocket> sockets = Open(address, 4);
  EXPECT_THAT(Begun(backend, kShards), Each(5u));
}

// A shard that uses a change already hands connections to one that does not yet, or the other way
// round: nobody may be without a backend for it.
TEST(SpreadTest, AListenerThatComesAndGoesHasItsPoolOnEveryShard) {
  TcpServer server(testing::Echo);
  TestDataPlane plane(4);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = plane.Listen(1, {.pool = 1});
  plane.Unlisten(1);
  std::atomic<bool> is_over = false;
  std::atomic<int> answered = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      while (!is_over) {
        std::vector<TcpSocket> sockets;  // several at a time, so that some are handed over
        for (int k = 0; k < 4; ++k) sockets.push_back(TcpSocket::Connect(address));
        for (TcpSocket& socket : sockets) {
          if (socket.is_open() && socket.Send("x") && socket.Receive(1) == "x") ++answered;
        }
      }
    });
  }
  for (PoolId id = 2; id < 60; ++id) {
    plane.AddPool(id);
    plane.AddBackend(id, server.address());
    const int before = answered;
    plane.Listen(id, {.pool = id}, address);
    EXPECT_TRUE(plane.WaitUntil([&] { return answered > before + 4; }));
    plane.Unlisten(id);
    EXPECT_EQ(plane.closes(id, CloseReason::kNoBackend), 0u);
  }
  is_over = true;
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
}

}  // namespace
}  // namespace sidelb
