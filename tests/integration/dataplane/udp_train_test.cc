// Datagrams that come in trains (UDP_GRO) and leave in trains (UDP_SEGMENT): nobody at the ends may
// notice.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/net/udp_sender.h"
#include "tests/support/test_data_plane.h"
#include "tests/support/udp.h"

namespace sidelb {
namespace {

using testing::TestDataPlane;
using testing::UdpServer;
using testing::UdpSocket;

// Datagrams of these sizes, no two alike.
std::vector<std::string> MakeDatagrams(const std::vector<size_t>& sizes) {
  std::vector<std::string> datagrams;
  for (const size_t size : sizes) {
    std::string data(size, static_cast<char>('a' + datagrams.size() % 26));
    data.replace(0, std::min<size_t>(size, 4), std::to_string(datagrams.size() + 1'000), 0,
                 std::min<size_t>(size, 4));
    datagrams.push_back(std::move(data));
  }
  return datagrams;
}

std::string Joined(const std::vector<std::string>& parts) {
  std::string whole;
  for (const std::string& part : parts) whole += part;
  return whole;
}

std::vector<std::string> ReceiveAll(UdpSocket& socket, size_t count, Address* from = nullptr) {
  std::vector<std::string> datagrams;
  while (datagrams.size() < count) {
    std::optional<std::string> datagram = socket.Receive(from);
    if (!datagram.has_value()) break;
    datagrams.push_back(*std::move(datagram));
  }
  return datagrams;
}

class UdpTrainTest : public ::testing::Test {
 protected:
  UdpTrainTest() {
    plane_.AddPool(1);
    plane_.AddBackend(1, backend_.local());
  }
  Address Listen(ListenerSettings settings = {}) {
    settings.transport = Transport::kUdp;
    settings.pool = 1;
    return plane_.Listen(1, settings, *Address::Parse("127.0.0.1:0"));
  }
  ListenerCounters& counters() { return plane_.listener(1).counters[0]; }

  UdpSocket backend_;  // answers when the test does
  TestDataPlane plane_{1};
};

TEST_F(UdpTrainTest, ATrainOfAClientArrivesAsTheDatagramsItIsMadeOf) {
  UdpSocket client(*Address::Parse("127.0.0.1:0"), Listen());
  std::vector<size_t> sizes(40, 1'200);
  sizes.push_back(300);
  const std::vector<std::string> datagrams = MakeDatagrams(sizes);
  ASSERT_TRUE(client.SendTrain(Joined(datagrams), 1'200));
  EXPECT_EQ(ReceiveAll(backend_, datagrams.size()), datagrams);
  EXPECT_TRUE(plane_.WaitUntil([&] { return counters().datagrams_in.value() == 41u; }));
  EXPECT_EQ(counters().bytes_in.value(), 40u * 1'200 + 300);
  EXPECT_EQ(counters().datagrams_dropped.value(), 0u);
  EXPECT_EQ(plane_.data_plane().active_sessions(), 1u);
  const Backend& backend = *plane_.backend(1, backend_.local()).backend;
  EXPECT_EQ(plane_.Sum(backend, &BackendCounters::datagrams_in), 41u);
}

TEST_F(UdpTrainTest, ATrainOfAnswersArrivesAsTheDatagramsItIsMadeOf) {
  UdpSocket client(*Address::Parse("127.0.0.1:0"), Listen());
  client.Send("hello");
  Address session;
  ASSERT_EQ(backend_.Receive(&session), "hello");
  ASSERT_EQ(connect(backend_.fd(), session.data(), session.size()), 0);
  std::vector<size_t> sizes(50, 1'000);
  sizes.push_back(1);
  const std::vector<std::string> datagrams = MakeDatagrams(sizes);
  for (int round = 0; round < 4; ++round) {
    ASSERT_TRUE(backend_.SendTrain(Joined(datagrams), 1'000));
    EXPECT_EQ(ReceiveAll(client, datagrams.size()), datagrams) << round;
  }
  EXPECT_TRUE(plane_.WaitUntil([&] { return counters().datagrams_out.value() == 4 * 51u; }));
  EXPECT_EQ(counters().bytes_out.value(), 4u * 50'001);
}

TEST_F(UdpTrainTest, EverySizeInARowKeepsItsPlaceBothWays) {
  UdpSocket client(*Address::Parse("127.0.0.1:0"), Listen());
  const std::vector<std::string> datagrams =
      MakeDatagrams({100, 100,    50,    0,     200, 1,   65'507, 9'000, 9'000, 8'999, 0, 0,
                     1,   65'507, 1'472, 1'473, 700, 700, 700,    700,   5,     700,   4});
  Address session;
  for (int round = 0; round < 5; ++round) {
    for (const std::string& datagram : datagrams) ASSERT_TRUE(client.Send(datagram));
    EXPECT_EQ(ReceiveAll(backend_, datagrams.size(), &session), datagrams) << round;
    for (const std::string& datagram : datagrams) ASSERT_TRUE(backend_.SendTo(datagram, session));
    EXPECT_EQ(ReceiveAll(client, datagrams.size()), datagrams) << round;
  }
}

TEST_F(UdpTrainTest, ManyFlowsAtOnceGetTheirOwn) {
  const Address address = Listen();
  const std::vector<std::string> datagrams = MakeDatagrams(std::vector<size_t>(20, 1'000));
  std::vector<std::unique_ptr<UdpSocket>> clients;
  for (size_t i = 0; i < 16; ++i) {
    clients.push_back(std::make_unique<UdpSocket>(*Address::Parse("127.0.0.1:0"), address));
    ASSERT_TRUE(clients[i]->SendTrain(std::to_string(i + 100) + Joined(datagrams), 1'003));
  }
  std::map<std::string, Address> sessions;  // by the client that begins with it
  std::map<Address, std::string> received;
  for (size_t i = 0; i < 16 * 20; ++i) {
    Address from;
    const auto datagram = backend_.Receive(&from);
    ASSERT_TRUE(datagram.has_value());
    if (received[from].empty()) sessions[datagram->substr(0, 3)] = from;
    received[from] += *datagram;
    ASSERT_TRUE(backend_.SendTo(*datagram, from));
  }
  ASSERT_EQ(sessions.size(), 16u);
  for (size_t i = 0; i < 16; ++i) {
    const std::string sent = std::to_string(i + 100) + Joined(datagrams);
    EXPECT_EQ(received[sessions[std::to_string(i + 100)]], sent);
    EXPECT_EQ(Joined(ReceiveAll(*clients[i], 20)), sent);
  }
}

TEST_F(UdpTrainTest, PerPacketPicksForEachDatagramOfATrain) {
  UdpSocket other;
  plane_.AddBackend(1, other.local());
  UdpSocket client(*Address::Parse("127.0.0.1:0"), Listen({.udp_policy = UdpPolicy::kPerPacket}));
  const std::vector<std::string> datagrams = MakeDatagrams(std::vector<size_t>(10, 400));
  ASSERT_TRUE(client.SendTrain(Joined(datagrams), 400));
  std::multiset<std::string> received;
  for (UdpSocket* socket : {&backend_, &other}) {
    const std::vector<std::string> half = ReceiveAll(*socket, 5);
    received.insert(half.begin(), half.end());
  }
  EXPECT_EQ(received, std::multiset<std::string>(datagrams.begin(), datagrams.end()));
}

TEST_F(UdpTrainTest, RequestResponseEndsWhenEachDatagramOfATrainIsAnswered) {
  UdpSocket client(*Address::Parse("127.0.0.1:0"),
                   Listen({.udp_policy = UdpPolicy::kRequestResponse}));
  const std::vector<std::string> datagrams = MakeDatagrams({500, 500, 20});
  ASSERT_TRUE(client.SendTrain(Joined(datagrams), 500));
  Address session;
  ASSERT_EQ(ReceiveAll(backend_, 3, &session), datagrams);
  backend_.SendTo("1", session);
  backend_.SendTo("2", session);
  EXPECT_EQ(ReceiveAll(client, 2), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(plane_.data_plane().active_sessions(), 1u);
  backend_.SendTo("3", session);
  EXPECT_EQ(client.Receive(), "3");
  EXPECT_TRUE(plane_.WaitUntil([&] { return plane_.data_plane().active_sessions() == 0; }));
}

TEST_F(UdpTrainTest, ATrainWithoutABackendIsCountedDatagramByDatagram) {
  plane_.backend(1, backend_.local()).weight = 0;
  UdpSocket client(*Address::Parse("127.0.0.1:0"), Listen());
  ASSERT_TRUE(client.SendTrain(std::string(1'000, 'x'), 100));
  EXPECT_TRUE(plane_.WaitUntil([&] { return counters().datagrams_dropped.value() == 10u; }));
}

// The kernel refuses segments on a socket without checksums, as it does on a path of a small MTU.
TEST(UdpSenderSocketTest, WhatTheKernelRefusesAsATrainArrivesSingly) {
  UdpSocket receiver;
  UdpSocket socket(*Address::Parse("127.0.0.1:0"), receiver.local());
  const int on = 1;
  ASSERT_EQ(setsockopt(socket.fd(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
  const std::vector<std::string> datagrams = MakeDatagrams(std::vector<size_t>(100, 600));
  const std::string whole = Joined(datagrams);
  UdpSender sender;
  sender.Add({.data = whole, .segment = 600}, nullptr, {}, UdpSender::kAnySegment);
  int refusals = 0;
  const auto on_refused = [&](const RawPeer& peer, const LocalAddress&, uint16_t largest) {
    ++refusals;
    EXPECT_EQ(peer.size, 0u);
    EXPECT_EQ(largest, 599);
  };
  EXPECT_EQ(sender.Flush(socket.fd(), on_refused), 0);
  EXPECT_EQ(refusals, 1);
  EXPECT_EQ(ReceiveAll(receiver, datagrams.size()), datagrams);
}

}  // namespace
}  // namespace sidelb
