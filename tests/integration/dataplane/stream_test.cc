// Byte-exact streams through the data plane: both ways, half-closed in all orders, under load on
// several shards.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"

namespace sidelb {
namespace {

using testing::End;
using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kBulkBytes = 48ull << 20;
#else
constexpr uint64_t kBulkBytes = 1ull << 30;
#endif

// A stream whose every 8 bytes are a function of the seed and their position.
class Pattern {
 public:
  explicit Pattern(uint64_t seed) : seed_(seed) {}
  void Fill(uint64_t position, char* data, size_t size) const {
    for (size_t i = 0; i < size; i += 8) {
      const uint64_t word = Word(position + i);
      std::memcpy(data + i, &word, 8);
    }
  }
  // Positions need not be aligned here.
  bool Matches(uint64_t position, const char* data, size_t size) const {
    for (size_t i = 0; i < size;) {
      const uint64_t word = Word((position + i) & ~7ull);
      const size_t skip = (position + i) & 7;
      const size_t n = std::min<size_t>(8 - skip, size - i);
      if (std::memcmp(reinterpret_cast<const char*>(&word) + skip, data + i, n) != 0) return false;
      i += n;
    }
    return true;
  }

 private:
  uint64_t Word(uint64_t position) const {
    return (position ^ seed_) * 0x9e3779b97f4a7c15ull ^ (position >> 7);
  }
  uint64_t seed_;
};

bool SendPattern(TcpSocket& socket, uint64_t seed, uint64_t bytes, size_t chunk_size = 256 * 1024) {
  const Pattern pattern(seed);
  std::vector<char> chunk(chunk_size);
  for (uint64_t sent = 0; sent < bytes;) {
    const size_t n = std::min<uint64_t>(chunk.size(), bytes - sent);
    pattern.Fill(sent, chunk.data(), (n + 7) & ~7ull);
    if (!socket.Send({chunk.data(), n})) return false;
    sent += n;
  }
  return true;
}

// Receives until an end; the number of bytes, or UINT64_MAX when one was wrong.
uint64_t ReceivePattern(TcpSocket& socket, uint64_t seed) {
  const Pattern pattern(seed);
  std::vector<char> chunk(256 * 1024);
  uint64_t received = 0;
  while (const size_t n = socket.ReceiveSome(chunk.data(), chunk.size())) {
    if (!pattern.Matches(received, chunk.data(), n)) return UINT64_MAX;
    received += n;
  }
  return received;
}

class StreamTest : public ::testing::Test {
 protected:
  Address Listen(TestDataPlane& plane, const TcpServer& server,
                 ListenerSettings settings = {.pool = 1}) {
    plane.AddPool(1);
    plane.AddBackend(1, server.address());
    return plane.Listen(1, settings);
  }
};

TEST_F(StreamTest, BulkBothWaysAtOnce) {
  TcpServer server([](TcpSocket& socket) {
    std::thread sender([&] {
      SendPattern(socket, 2, kBulkBytes);
      socket.SendFin();
    });
    EXPECT_EQ(ReceivePattern(socket, 1), kBulkBytes);
    sender.join();
  });
  TestDataPlane plane(2);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  ASSERT_TRUE(client.is_open());
  std::thread sender([&] {
    EXPECT_TRUE(SendPattern(client, 1, kBulkBytes));
    client.SendFin();
  });
  EXPECT_EQ(ReceivePattern(client, 2), kBulkBytes);
  EXPECT_EQ(client.end(), End::kFin);
  sender.join();
  server.JoinHandlers();
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  EXPECT_EQ(plane.closes(1, CloseReason::kFinished), 1u);
  const auto& backend = *plane.backend(1, server.address()).backend;
  EXPECT_EQ(plane.Sum(backend, &BackendCounters::bytes_in), kBulkBytes);
  EXPECT_EQ(plane.Sum(backend, &BackendCounters::bytes_out), kBulkBytes);
}

TEST_F(StreamTest, OddSizesAndSmallBuffersUnderBackPressure) {
  static constexpr uint64_t kBytes = 2'000'017;
  TcpServer server([](TcpSocket& socket) {
    socket.LimitBuffers(64 * 1024);
    std::thread sender([&] {
      SendPattern(socket, 4, kBytes, 1'736);
      socket.SendFin();
    });
    EXPECT_EQ(ReceivePattern(socket, 3), kBytes);
    sender.join();
  });
  TestDataPlane plane(2);
  const Address address = Listen(plane, server);
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      TcpSocket client = TcpSocket::Connect(address);
      client.LimitBuffers(64 * 1024);
      std::thread sender([&] {
        EXPECT_TRUE(SendPattern(client, 3, kBytes, 1'000));
        client.SendFin();
      });
      EXPECT_EQ(ReceivePattern(client, 4), kBytes);
      sender.join();
    });
  }
  for (std::thread& client : clients) client.join();
  server.JoinHandlers();
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  EXPECT_EQ(plane.closes(1, CloseReason::kFinished), 8u);
}

TEST_F(StreamTest, ClientFinFirstThenTheAnswer) {
  TcpServer server([](TcpSocket& socket) {
    const std::string request = socket.ReceiveAll();
    EXPECT_EQ(socket.end(), End::kFin);
    socket.Send("answer to " + request);
  });
  TestDataPlane plane(1);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  client.Send("question");
  client.SendFin();
  EXPECT_EQ(client.ReceiveAll(), "answer to question");
  EXPECT_EQ(client.end(), End::kFin);
}

TEST_F(StreamTest, ServerFinFirstThenMoreFromTheClient) {
  std::atomic<bool> got_all{false};
  TcpServer server([&](TcpSocket& socket) {
    socket.Send("hello");
    socket.SendFin();
    got_all = socket.ReceiveAll() == "late data";
  });
  TestDataPlane plane(1);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  EXPECT_EQ(client.ReceiveAll(), "hello");
  EXPECT_EQ(client.end(), End::kFin);
  EXPECT_TRUE(client.Send("late data"));
  client.SendFin();
  EXPECT_TRUE(plane.WaitUntil([&] { return got_all.load(); }));
}

TEST_F(StreamTest, FinWithoutAnyData) {
  TcpServer server([](TcpSocket& socket) { EXPECT_EQ(socket.WaitForEnd(), End::kFin); });
  TestDataPlane plane(1);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  client.SendFin();
  EXPECT_EQ(client.WaitForEnd(), End::kFin);
}

TEST_F(StreamTest, BothFinAtOnce) {
  TcpServer server([](TcpSocket& socket) {
    socket.Send("x");
    socket.SendFin();
    socket.WaitForEnd();
  });
  TestDataPlane plane(2);
  const Address address = Listen(plane, server);
  for (int i = 0; i < 200; ++i) {
    TcpSocket client = TcpSocket::Connect(address);
    client.Send("y");
    client.SendFin();
    EXPECT_EQ(client.ReceiveAll(), "x");
    EXPECT_EQ(client.end(), End::kFin);
  }
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kFinished) == 200; }));
}

TEST_F(StreamTest, ManyRoundTripsOnManyConnectionsOfSeveralShards) {
  TcpServer server(testing::Echo);
  TestDataPlane plane(3);
  const Address address = Listen(plane, server);
  std::vector<std::thread> clients;
  for (int i = 0; i < 24; ++i) {
    clients.emplace_back([&, i] {
      for (int connection = 0; connection < 4; ++connection) {
        TcpSocket client = TcpSocket::Connect(address);
        const std::string message(static_cast<size_t>(1 + i * 37), static_cast<char>('a' + i));
        for (int round = 0; round < 100; ++round) {
          ASSERT_TRUE(client.Send(message));
          ASSERT_EQ(client.Receive(message.size()), message);
        }
        client.SendFin();
        EXPECT_EQ(client.WaitForEnd(), End::kFin);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  EXPECT_EQ(plane.closes(1, CloseReason::kFinished), 96u);
}

TEST_F(StreamTest, IPv6AndDualStack) {
  TcpServer server(testing::Echo, *Address::Parse("[::1]:0"));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  const Address address = plane.Listen(1, {.pool = 1}, *Address::Parse("[::]:0"));
  for (const char* host : {"127.0.0.1:0", "[::1]:0"}) {
    TcpSocket client = TcpSocket::Connect(Address::Parse(host)->WithPort(address.port()));
    ASSERT_TRUE(client.is_open()) << host;
    client.Send("over");
    EXPECT_EQ(client.Receive(4), "over");
  }
}

}  // namespace
}  // namespace sidelb
