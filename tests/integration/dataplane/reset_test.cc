// RST in all its cases (docs/decisions: RST is answered with RST after the data before it), and
// the timeouts that end sessions.
#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"

namespace sidelb {
namespace {

using testing::End;
using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

// What a scripted backend saw.
struct Seen {
  std::atomic<End> end{End::kNone};
  std::atomic<uint64_t> bytes{0};
  std::atomic<bool> go{false};
};

Address Listen(TestDataPlane& plane, const TcpServer& server, ListenerSettings settings = {}) {
  settings.pool = 1;
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  return plane.Listen(1, settings);
}

TEST(ResetTest, ClientDataThenReset) {
  Seen seen;
  TcpServer server([&](TcpSocket& socket) {
    seen.bytes = socket.ReceiveAll().size();
    seen.end = socket.end();
  });
  TestDataPlane plane(1);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  client.Send("0123456789");
  // The RST must come behind the data, not overtake it in the kernel: wait until it is relayed.
  const auto& backend = *plane.backend(1, server.address()).backend;
  EXPECT_TRUE(
      plane.WaitUntil([&] { return plane.Sum(backend, &BackendCounters::bytes_in) == 10; }));
  client.Reset();
  EXPECT_TRUE(plane.WaitUntil([&] { return seen.end == End::kReset; }));
  EXPECT_EQ(seen.bytes, 10u);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kDownstreamReset) == 1; }));
}

TEST(ResetTest, ServerDataThenReset) {
  TcpServer server([&](TcpSocket& socket) {
    socket.Receive(1);
    socket.Send("last words");
    socket.Receive(1);  // the client has read them
    socket.Reset();
  });
  TestDataPlane plane(1);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  client.Send("a");
  EXPECT_EQ(client.Receive(10), "last words");
  client.Send("b");
  EXPECT_EQ(client.WaitForEnd(), End::kReset);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kUpstreamReset) == 1; }));
}

TEST(ResetTest, FinThenResetReportsEpipeAndIsAReset) {
  Seen seen;
  TcpServer server([&](TcpSocket& socket) {
    socket.Send("x");
    EXPECT_EQ(socket.WaitForEnd(), End::kFin);  // the client's FIN
    seen.go = true;
    // The client now resets; only a write or the relayed RST shows it.
    while (socket.Send("y")) {
    }
    seen.end = End::kReset;
  });
  TestDataPlane plane(1);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  client.Receive(1);
  client.SendFin();
  EXPECT_TRUE(plane.WaitUntil([&] { return seen.go.load(); }));
  client.Reset();
  EXPECT_TRUE(plane.WaitUntil([&] { return seen.end == End::kReset; }));
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kDownstreamReset) == 1; }));
}

TEST(ResetTest, UpstreamResetWhileTheClientDoesNotRead) {
  std::atomic<bool> stuck{false};
  TcpServer server([&](TcpSocket& socket) {
    const std::string chunk(64 * 1024, 'z');
    // Fill everything between here and the client, then reset.
    timeval limit{.tv_sec = 0, .tv_usec = 200'000};
    setsockopt(socket.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    while (socket.Send(chunk)) {
    }
    stuck = true;
    socket.Reset();
  });
  TestDataPlane plane(1);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  EXPECT_TRUE(plane.WaitUntil([&] { return stuck.load(); }));
  const auto& backend = *plane.backend(1, server.address()).backend;
  // All that the relay took before the RST reaches the client, and then the RST.
  EXPECT_EQ(client.WaitForEnd(), End::kReset);
  EXPECT_GT(plane.Sum(backend, &BackendCounters::bytes_out), 0u);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kUpstreamReset) == 1; }));
}

TEST(ResetTest, ResetInTheMiddleOfBulk) {
  Seen seen;
  TcpServer server([&](TcpSocket& socket) {
    socket.WaitForEnd();
    seen.end = socket.end();
  });
  TestDataPlane plane(2);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  const std::string chunk(1 << 20, 'b');
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(client.Send(chunk));
  client.Reset();
  EXPECT_TRUE(plane.WaitUntil([&] { return seen.end == End::kReset; }));
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  // The pipe that was in use went away with its bytes: the next stream is clean.
  TcpServer echo(testing::Echo);
  plane.AddPool(2);
  plane.AddBackend(2, echo.address());
  TcpSocket next = TcpSocket::Connect(plane.Listen(2, {.pool = 2}));
  std::thread sender([&] {
    for (int i = 0; i < 8; ++i) next.Send(std::string(1 << 20, 'c'));
    next.SendFin();
  });
  const std::string all = next.ReceiveAll();
  sender.join();
  EXPECT_EQ(all.size(), 8u << 20);
  EXPECT_EQ(all.find_first_not_of('c'), std::string::npos);
}

TEST(ResetTest, DataThatNobodyTakesDelaysTheResetNoLongerThanTheHalfCloseTimeout) {
  std::atomic<bool> stuck{false};
  TcpServer server([&](TcpSocket& socket) {
    timeval limit{.tv_sec = 0, .tv_usec = 200'000};
    setsockopt(socket.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    const std::string chunk(64 * 1024, 'z');
    while (socket.Send(chunk)) {
    }
    stuck = true;
    socket.Reset();
  });
  TestDataPlane plane(1);
  TcpSocket client = TcpSocket::Connect(
      Listen(plane, server, {.half_close_timeout = std::chrono::milliseconds(300)}));
  EXPECT_TRUE(plane.WaitUntil([&] { return stuck.load(); }));
  // The client never reads.
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  EXPECT_EQ(plane.closes(1, CloseReason::kUpstreamReset), 1u);
}

TEST(ResetTest, IdleTimeoutEndsTheSession) {
  TcpServer server(testing::Greet("hi"));
  TestDataPlane plane(1);
  TcpSocket client =
      TcpSocket::Connect(Listen(plane, server, {.idle_timeout = std::chrono::milliseconds(150)}));
  EXPECT_EQ(client.Receive(2), "hi");
  EXPECT_EQ(client.WaitForEnd(), End::kReset);
  EXPECT_TRUE(plane.WaitUntil([&] { return plane.closes(1, CloseReason::kIdleTimeout) == 1; }));
}

TEST(ResetTest, HalfCloseTimeoutEndsTheSession) {
  TcpServer server(testing::Greet("hi"));
  TestDataPlane plane(1);
  // The server never answers the FIN, so the half-close timeout has to.
  std::atomic<bool> release{false};
  TcpServer silent([&](TcpSocket& socket) {
    socket.WaitForEnd();
    TestDataPlane::WaitUntil([&] { return release.load(); });
  });
  TcpSocket client = TcpSocket::Connect(
      Listen(plane, silent, {.half_close_timeout = std::chrono::milliseconds(150)}));
  client.Send("x");
  client.SendFin();
  EXPECT_EQ(client.WaitForEnd(), End::kReset);
  EXPECT_TRUE(
      plane.WaitUntil([&] { return plane.closes(1, CloseReason::kHalfCloseTimeout) == 1; }));
  release = true;
}

TEST(ResetTest, StopResetsWhatIsLeft) {
  TcpServer server(testing::Greet("hi"));
  TestDataPlane plane(2);
  TcpSocket client = TcpSocket::Connect(Listen(plane, server));
  EXPECT_EQ(client.Receive(2), "hi");
  plane.data_plane().Stop();
  EXPECT_EQ(client.WaitForEnd(), End::kReset);
  EXPECT_EQ(plane.data_plane().active_sessions(), 0u);
}

}  // namespace
}  // namespace sidelb
