// Promises that hold under load and from many threads at once.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/integration/control/sync_controller.h"

namespace sidelb::control {
namespace {

using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kRounds = 8;
#else
constexpr int kRounds = 30;
#endif

void Answer(TcpSocket& socket) {
  while (socket.Receive(1) == "?") socket.Send("!");
}

// Clients that open, ask, are answered and close, until the end.
class Load {
 public:
  Load(const Address& address, int clients) {
    for (int i = 0; i < clients; ++i) {
      // Each from an address of its own, so that ports do not run out.
      const Address source = At("127.0.0." + std::to_string(2 + i) + ":0");
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
  bool WaitFor(uint64_t more) {
    const uint64_t goal = good_ + more;
    return TestDataPlane::WaitUntil([&] { return good_ >= goal; });
  }
  uint64_t failed() const { return failed_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> good_{0};
  std::atomic<uint64_t> failed_{0};
  std::vector<std::thread> threads_;
};

class UnderLoadTest : public ::testing::TestWithParam<Mode> {};

// When APPLIED is answered, the backend may stop listening at once: nobody is sent there any more.
TEST_P(UnderLoadTest, AfterAppliedNobodyIsSentToABackendThatWasTakenOut) {
  TcpServer steady(Answer);
  SyncController control(3);
  Load load(control.Serve({steady.address()}, GetParam()), 4);
  for (int round = 0; round < kRounds; ++round) {
    TcpServer server(Answer);
    ASSERT_TRUE(control.Apply({Upsert("web", {{.address = server.address()}})}).ok());
    ASSERT_TRUE(TestDataPlane::WaitUntil([&] { return server.accepted() > 10; }));
    Op out = Remove("web", {server.address()});
    if (round % 3 == 1) {
      out = Impose("web", {server.address()}, {.admin_state = AdminState::kDraining});
    }
    if (round % 3 == 2) out = Impose("web", {server.address()}, {.weight = 0});
    ASSERT_TRUE(control.Apply({out}).ok());
    server.StopListening();
    ASSERT_TRUE(load.WaitFor(100));
    ASSERT_EQ(load.failed(), 0u) << round;
    const auto drained = control.ApplyAndWait({Remove("web", {server.address()})},
                                              WaitFor::kDrained, absl::Seconds(30));
    ASSERT_EQ(drained->reached, WaitFor::kDrained);
  }
  load.Stop();
  EXPECT_EQ(load.failed(), 0u);
  EXPECT_TRUE(TestDataPlane::WaitUntil(
      [&] { return control.StatusOf(steady.address())->active_connections == 0; }));
  EXPECT_EQ(control.Read()->backends.size(), 1u) << "the others are gone";
}

TEST_P(UnderLoadTest, ModesSwitchUnderLoad) {
  TcpServer a(Answer), b(Answer);
  SyncController control(3);
  Load load(control.Serve({a.address(), b.address()}, GetParam()), 4);
  for (int round = 0; round < kRounds; ++round) {
    const Mode mode = round % 2 == 0 ? Mode::kLeastConnections : Mode::kRoundRobin;
    ASSERT_TRUE(control.Apply({{.op = SetMode{"web", mode}}}).ok());
    ASSERT_TRUE(load.WaitFor(50));
  }
  load.Stop();
  EXPECT_EQ(load.failed(), 0u);
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return control.GetInfo().active_connections == 0; }));
  EXPECT_EQ(control.StatusOf(a.address())->active_connections, 0u);
  EXPECT_EQ(control.StatusOf(b.address())->active_connections, 0u);
}

INSTANTIATE_TEST_SUITE_P(Modes, UnderLoadTest,
                         ::testing::Values(Mode::kRoundRobin, Mode::kLeastConnections),
                         [](const auto& tested) {
                           return tested.param == Mode::kRoundRobin ? "RoundRobin"
                                                                    : "LeastConnections";
                         });

TEST(ConcurrencyTest, WritersOfManyThreadsGetRevisionsOfTheirOwn) {
  SyncController control;
  ASSERT_TRUE(control.Apply({Pool("web")}).ok());
  constexpr int kThreads = 4, kEach = 50;
  std::vector<std::vector<uint64_t>> revisions(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto got = control.Apply({Upsert(
            "web", {B("10.0." + std::to_string(t) + "." + std::to_string(i + 1) + ":80")})});
        if (got.ok() && got->reached == WaitFor::kApplied) revisions[t].push_back(got->revision);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint64_t> distinct;
  for (const auto& mine : revisions) {
    EXPECT_EQ(mine.size(), static_cast<size_t>(kEach));
    EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    distinct.insert(mine.begin(), mine.end());
  }
  EXPECT_EQ(distinct.size(), static_cast<size_t>(kThreads * kEach));
  EXPECT_EQ(control.Read()->backends.size(), static_cast<size_t>(kThreads * kEach));
}

// Every call is answered exactly once, whenever Stop() comes.
TEST(ConcurrencyTest, StopAnswersEveryCallOnce) {
  for (int round = 0; round < kRounds; ++round) {
    auto control = std::make_unique<SyncController>();
    Controller& controller = control->controller();
    std::atomic<int> sent{0}, answered{0};
    std::atomic<bool> is_over{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500 && !is_over; ++i) {
          sent += 4;
          controller.Apply(Ops({Pool("web")}), [&](auto) { ++answered; });
          controller.GetState({}, UINT64_MAX, absl::InfiniteFuture(), [&](auto) { ++answered; });
          controller.GetInfo([&](Info) { ++answered; });
          controller.Drain(absl::Hours(1), [&](uint64_t) { ++answered; });
        }
      });
    }
    ASSERT_TRUE(TestDataPlane::WaitUntil([&] { return sent > 100; }));
    controller.Stop();
    is_over = true;
    for (std::thread& thread : threads) thread.join();
    control.reset();
    EXPECT_EQ(sent, answered);
  }
}

TEST(ConcurrencyTest, DrainCallsBackEachOfItsCallers) {
  TcpServer a(testing::Echo);
  SyncController control;
  TcpSocket session = OpenEcho(control.Serve({a.address()}));
  std::promise<uint64_t> first, second;
  control.controller().Drain(absl::Milliseconds(20), [&](uint64_t n) { first.set_value(n); });
  control.controller().Drain(absl::Hours(1), [&](uint64_t n) { second.set_value(n); });
  EXPECT_EQ(first.get_future().get(), 1u) << "its time is up";
  session.Close();
  EXPECT_EQ(second.get_future().get(), 0u);
  EXPECT_EQ(control.GetInfo().state, ServerState::kDraining);
}

}  // namespace
}  // namespace sidelb::control
