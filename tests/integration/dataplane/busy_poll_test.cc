// A shard that asks for events before it sleeps serves what one serves that does not.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>

#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"
#include "tests/support/udp.h"

namespace sidelb {
namespace {

using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;
using testing::UdpServer;
using testing::UdpSocket;

class BusyPollTest : public ::testing::TestWithParam<std::chrono::microseconds> {
 protected:
  TestDataPlane plane_{2, 0, GetParam()};
};

TEST_P(BusyPollTest, ServesTcpUdpTimersAndChanges) {
  TcpServer tcp([](TcpSocket& socket) {
    for (std::string data; !(data = socket.Receive(4)).empty();) socket.Send(data);
  });
  UdpServer udp([](std::string_view data) { return std::string(data); });
  plane_.AddPool(1);
  plane_.AddPool(2);
  plane_.AddBackend(1, tcp.address());
  plane_.AddBackend(2, udp.address());
  const Address streams = plane_.Listen(1, {.pool = 1});
  const Address short_lived =
      plane_.Listen(3, {.pool = 1, .idle_timeout = std::chrono::milliseconds(50)});
  const Address datagrams = plane_.Listen(2, {.transport = Transport::kUdp, .pool = 2});
  TcpSocket quiet = TcpSocket::Connect(short_lived);
  UdpSocket asker(*Address::Parse("127.0.0.1:0"), datagrams);
  for (int i = 0; i < 20; ++i) {
    TcpSocket socket = TcpSocket::Connect(streams);
    ASSERT_TRUE(socket.Send("ping"));
    EXPECT_EQ(socket.Receive(4), "ping");
    ASSERT_TRUE(asker.Send("ask"));
    EXPECT_EQ(asker.Receive(), "ask");
    plane_.Publish();
  }
  EXPECT_TRUE(plane_.WaitUntil([&] { return plane_.closes(3, CloseReason::kIdleTimeout) == 1; }));
}

// So short that it always sleeps, usual, and so long that it hardly does.
INSTANTIATE_TEST_SUITE_P(Times, BusyPollTest,
                         ::testing::Values(std::chrono::microseconds(1),
                                           std::chrono::microseconds(50),
                                           std::chrono::microseconds(10'000)),
                         [](const auto& test) { return std::to_string(test.param.count()); });

}  // namespace
}  // namespace sidelb
