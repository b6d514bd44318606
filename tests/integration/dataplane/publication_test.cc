// Publications: what an acknowledgement promises, tested under load, and listeners that come, move
// and go.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
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

// Clients that open, ask, are answered and close, as fast as they can, until Stop().
class Load {
 public:
  Load(const Address& address, int clients) {
    for (int i = 0; i < clients; ++i) {
      // Each from an address of its own, so that ports do not run out.
      const Address source = *Address::Parse("127.0.0." + std::to_string(2 + i) + ":0");
      threads_.emplace_back([this, address, source] {
        while (!stop_) {
          TcpSocket client = TcpSocket::Connect(address, source);
          const bool good = client.is_open() && client.Send("?") && client.Receive(1) == "!";
          ++(good ? good_ : failed_);
        }
      });
    }
  }
  ~Load() { Stop(); }

  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  // Returns when `n` more exchanges have succeeded.
  bool WaitFor(uint64_t n) {
    const uint64_t goal = good_ + n;
    return TestDataPlane::WaitUntil([&] { return good_ >= goal; });
  }
  uint64_t failed() const { return failed_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> good_{0};
  std::atomic<uint64_t> failed_{0};
  std::vector<std::thread> threads_;
};

void Answer(TcpSocket& socket) {
  while (socket.Receive(1) == "?") socket.Send("!");
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kRounds = 8;
#else
constexpr int kRounds = 30;
#endif

class AppliedTest : public ::testing::TestWithParam<Mode> {};

// After the acknowledgement of a change that removes, drains or disables a backend its listening
// socket is closed at once; nothing may be picked for it, no connect may fail, no client may fail.
TEST_P(AppliedTest, NoSessionGoesToABackendThatWasTakenOut) {
  TestDataPlane plane(3);
  plane.AddPool(1, GetParam());
  TcpServer constant(Answer);
  plane.AddBackend(1, constant.address());
  const Address address = plane.Listen(1, {.pool = 1});
  Load load(address, 6);
  for (int round = 0; round < kRounds; ++round) {
    TcpServer server(Answer);
    TestDataPlane::BackendState& state = plane.AddBackend(1, server.address());
    plane.Publish();
    ASSERT_TRUE(TestDataPlane::WaitUntil(
        [&] { return plane.Sum(*state.backend, &BackendCounters::selected) > 20; }));
    switch (round % 3) {
      case 0:
        state.is_member = false;
        break;
      case 1:
        state.admin_state = AdminState::kDraining;
        break;
      default:
        state.admin_state = AdminState::kDisabled;
        break;
    }
    plane.Publish({{.backend = state.backend.get(), .repick_connecting = true}});
    server.StopListening();
    const uint64_t selected = plane.Sum(*state.backend, &BackendCounters::selected);
    const uint64_t errors = plane.Sum(*state.backend, &BackendCounters::connect_errors);
    ASSERT_TRUE(load.WaitFor(100));
    ASSERT_EQ(plane.Sum(*state.backend, &BackendCounters::selected), selected) << round;
    ASSERT_EQ(plane.Sum(*state.backend, &BackendCounters::connect_errors), errors) << round;
    ASSERT_EQ(load.failed(), 0u) << round;
    // After the acknowledgement its count can only fall.
    ASSERT_TRUE(TestDataPlane::WaitUntil([&] { return state.backend->load.active == 0; }));
  }
  load.Stop();
  EXPECT_EQ(load.failed(), 0u);
}

// Switching the mode under load disturbs nobody, and counts stay exact.
TEST_P(AppliedTest, ModeSwitchesUnderLoad) {
  TestDataPlane plane(2);
  plane.AddPool(1, GetParam());
  std::vector<std::unique_ptr<TcpServer>> servers;
  for (int i = 0; i < 3; ++i) {
    servers.push_back(std::make_unique<TcpServer>(Answer));
    plane.AddBackend(1, servers.back()->address());
  }
  const Address address = plane.Listen(1, {.pool = 1});
  TcpSocket kept = TcpSocket::Connect(address);
  Load load(address, 4);
  for (int round = 0; round < kRounds; ++round) {
    plane.SetMode(1, round % 2 == 0 ? Mode::kLeastConnections : Mode::kRoundRobin);
    plane.Publish();
    ASSERT_TRUE(load.WaitFor(50));
    ASSERT_TRUE(kept.Send("?"));
    ASSERT_EQ(kept.Receive(1), "!");
  }
  load.Stop();
  EXPECT_EQ(load.failed(), 0u);
  kept.Close();
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  for (const auto& server : servers) {
    EXPECT_EQ(plane.backend(1, server->address()).backend->load.active, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, AppliedTest,
                         ::testing::Values(Mode::kRoundRobin, Mode::kLeastConnections),
                         [](const auto& tested) {
                           return tested.param == Mode::kRoundRobin ? "RoundRobin"
                                                                    : "LeastConnections";
                         });

TEST(PublicationTest, KilledBackendFailsNoConnectionOpenedAfterwards) {
  TestDataPlane plane(2);
  plane.AddPool(1);
  TcpServer a(Answer), b(Answer);
  auto killed = std::make_unique<TcpServer>(Answer);
  for (const Address& backend : {a.address(), b.address(), killed->address()}) {
    plane.AddBackend(1, backend);
  }
  const Address address = plane.Listen(1, {.pool = 1});
  {
    Load before(address, 4);
    ASSERT_TRUE(before.WaitFor(50));
    killed->Stop();
    killed.reset();
    before.Stop();
  }
  Load after(address, 4);
  ASSERT_TRUE(after.WaitFor(500));
  after.Stop();
  EXPECT_EQ(after.failed(), 0u);
}

TEST(PublicationTest, ARemovedListenerServesWhatIsQueued) {
  TcpServer server(testing::Greet("hello"));
  TestDataPlane plane(3);
  plane.AddPool(1);
  plane.AddBackend(1, server.address());
  for (int round = 0; round < 20; ++round) {
    const ListenerId id = 1 + static_cast<ListenerId>(round);
    const Address address = plane.Listen(id, {.pool = 1});
    std::vector<TcpSocket> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(TcpSocket::Connect(address));
    plane.Unlisten(id);
    for (TcpSocket& client : clients) EXPECT_EQ(client.Receive(5), "hello");
    EXPECT_FALSE(TcpSocket::Connect(address).is_open()) << "the address is free again";
  }
}

TEST(PublicationTest, AListenerTakesOverTheSocketsOfAnother) {
  TcpServer one(testing::Greet("1")), two(testing::Greet("2"));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddPool(2);
  plane.AddBackend(1, one.address());
  plane.AddBackend(2, two.address());
  const Address address = plane.Listen(1, {.pool = 1});
  TcpSocket first = TcpSocket::Connect(address);
  EXPECT_EQ(first.Receive(1), "1");
  ListenerLoad load(2);
  std::vector<ListenerChange> changes;
  changes.push_back({.id = 2, .settings = ListenerSettings{.pool = 2}, .load = &load});
  changes.back().takes_over = 1;
  EXPECT_TRUE(plane.Publish({}, std::move(changes)).empty());
  TcpSocket second = TcpSocket::Connect(address);
  EXPECT_EQ(second.Receive(1), "2");
  EXPECT_EQ(load.active, 1u);
  second.Close();
  first.Close();
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return plane.data_plane().active_sessions() == 0; }));
  plane.Unlisten(2);
}

TEST(PublicationTest, ClosingABackendResetsItsSessions) {
  TcpServer one(testing::Greet("1")), two(testing::Greet("2"));
  TestDataPlane plane(2);
  plane.AddPool(1);
  plane.AddBackend(1, one.address());
  TestDataPlane::BackendState& state = plane.AddBackend(1, two.address());
  const Address address = plane.Listen(1, {.pool = 1});
  TcpSocket first = TcpSocket::Connect(address);
  EXPECT_EQ(first.Receive(1), "1");
  TcpSocket second = TcpSocket::Connect(address);
  EXPECT_EQ(second.Receive(1), "2");
  state.is_member = false;
  plane.Publish({{.backend = state.backend.get(),
                  .repick_connecting = true,
                  .close = CloseReason::kDrainDeadline}});
  EXPECT_EQ(second.WaitForEnd(), End::kReset);
  EXPECT_EQ(plane.closes(1, CloseReason::kDrainDeadline), 1u);
  EXPECT_EQ(state.backend->load.active, 0u);
  EXPECT_EQ(plane.data_plane().active_sessions(), 1u);
}

// A connect under way when its pool goes and its listener leads elsewhere continues there.
TEST(PublicationTest, AConnectUnderWayFollowsTheListenerToAnotherPool) {
  TcpServer green(testing::Greet("G"));
  testing::Hole hole;
  TestDataPlane plane(1);
  plane.AddPool(1);
  plane.AddPool(2);
  TestDataPlane::BackendState& blue = plane.AddBackend(1, hole.address());
  plane.AddBackend(2, green.address());
  TcpSocket client = TcpSocket::Connect(plane.Listen(1, {.pool = 1}));
  ASSERT_TRUE(TestDataPlane::WaitUntil([&] { return blue.backend->load.active == 1; }));
  blue.is_member = false;
  std::vector<ListenerChange> changes;
  changes.push_back({.id = 1, .settings = ListenerSettings{.pool = 2}, .load = &plane.listener(1)});
  plane.Publish({{.backend = blue.backend.get(), .repick_connecting = true}}, std::move(changes));
  EXPECT_EQ(client.Receive(1), "G");
  EXPECT_EQ(plane.Sum(*blue.backend, &BackendCounters::selected), 1u);
}

TEST(PublicationTest, AnAddressThatIsHeldCannotBeBound) {
  TcpServer holder(testing::Echo);
  TestDataPlane plane(2);
  const auto bound = plane.data_plane().Bind(holder.address());
  ASSERT_FALSE(bound.ok());
  EXPECT_EQ(bound.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(bound.status().message()).find("EADDRINUSE"), std::string::npos);
  // Its own listeners hold theirs just as well.
  plane.AddPool(1);
  const Address own = plane.Listen(1, {.pool = 1});
  EXPECT_FALSE(plane.data_plane().Bind(own).ok());
}

}  // namespace
}  // namespace sidelb
