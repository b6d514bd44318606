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

// Clients that open four connections at a time, so that some are handed over, until the end.
class Clients {
 public:
  Clients(const Address& address, int count) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, address] {
        while (!is_over_) Ask(address);
      });
    }
  }
  ~Clients() { Stop(); }
  void Stop() {
    is_over_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  bool WaitForMore(int answers) {
    const int before = answered_;
    return TestDataPlane::WaitUntil([&] { return answered_ >= before + answers; });
  }
  int refused() const { return refused_; }

 private:
  void Ask(const Address& address) {
    std::vector<TcpSocket> sockets;
    for (int k = 0; k < 4; ++k) sockets.push_back(TcpSocket::Connect(address));
    for (TcpSocket& socket : sockets) {
      if (socket.is_open() && socket.Send("x") && socket.Receive(1) == "x") {
        ++answered_;
      } else {
        ++refused_;
      }
    }
  }

  std::atomic<bool> is_over_ = false;
  std::atomic<int> answered_ = 0;
  std::atomic<int> refused_ = 0;
  std::vector<std::thread> threads_;
};

// A shard that uses a change already hands connections to one that does not yet, or the other way
// round: nobody may be without a backend for it.
TEST(SpreadTest, AListenerThatComesAndGoesHasItsPoolOnEveryShard) {
  constexpr PoolId kLast = 60;
  TcpServer server(testing::Echo);
  TestDataPlane plane(4);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = plane.Listen(1, {.pool = 1});
  plane.Unlisten(1);
  Clients clients(address, 3);
  for (PoolId id = 2; id < kLast; ++id) {
    plane.AddPool(id);
    plane.AddBackend(id, server.address());
    plane.Listen(id, {.pool = id}, address);
    EXPECT_TRUE(clients.WaitForMore(5));
    plane.Unlisten(id);
  }
  clients.Stop();
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  for (PoolId id = 2; id < kLast; ++id) {
    EXPECT_EQ(plane.closes(id, CloseReason::kNoBackend), 0u);
    EXPECT_EQ(plane.listener(id).active.load(), 0u);
  }
}

TEST(SpreadTest, WhoIsOnTheWayFollowsAListenerThatIsTakenOver) {
  constexpr PoolId kLast = 60;
  TcpServer server(testing::Echo);
  TestDataPlane plane(4);
  plane.AddPool(1);
  const Backend* before = plane.AddBackend(1, server.address()).backend.get();
  const Address address = plane.Listen(1, {.pool = 1});
  Clients clients(address, 3);
  EXPECT_TRUE(clients.WaitForMore(1));
  for (PoolId id = 2; id < kLast; ++id) {
    plane.AddPool(id);
    const Backend* const present = plane.AddBackend(id, server.address()).backend.get();
    plane.TakeOver(id, id - 1, {.pool = id});
    // Acknowledged: no session begins by what was before.
    const uint64_t picks = plane.Sum(*before, &BackendCounters::selected);
    EXPECT_TRUE(clients.WaitForMore(20));
    EXPECT_EQ(plane.Sum(*before, &BackendCounters::selected), picks);
    before = present;
  }
  clients.Stop();
  EXPECT_EQ(clients.refused(), 0);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  for (PoolId id = 1; id < kLast; ++id) EXPECT_EQ(plane.listener(id).active.load(), 0u);
}

// Shards end one after the other; what the others accept meanwhile must not go to those that ended.
TEST(SpreadTest, NobodyIsCountedAfterAStopWithTrafficUnderWay) {
  for (int round = 0; round < 20; ++round) {
    TcpServer server(testing::Echo);
    TestDataPlane plane(4);
    plane.AddPool(1);
    plane.AddBackend(1, server.address());
    const Address address = plane.Listen(1, {.pool = 1});
    Clients clients(address, 3);
    EXPECT_TRUE(clients.WaitForMore(8));
    plane.data_plane().Stop();
    EXPECT_EQ(plane.data_plane().active_sessions(), 0u);
    EXPECT_EQ(plane.listener(1).active.load(), 0u);
  }
}

}  // namespace
}  // namespace sidelb
