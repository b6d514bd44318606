// The health checker against real sockets.
#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <mutex>
#include <thread>

#include "dataplane/health/health_checker.h"
#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"

namespace sidelb {
namespace {

using testing::TcpServer;
using testing::TcpSocket;
using testing::TestDataPlane;

class HealthTest : public ::testing::Test {
 protected:
  void Start(HealthChecker::Options options = {}) {
    options.control = io_.get_executor();
    options.on_reports = [this](std::vector<HealthReport> reports) {
      std::lock_guard lock(mutex_);
      for (HealthReport& report : reports) last_[report.id] = std::move(report);
    };
    thread_ = std::thread([this] { io_.run(); });
    checker_ = *HealthChecker::Start(std::move(options));
  }
  ~HealthTest() override {
    checker_.reset();
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }

  HealthReport Last(ProbeId id) {
    std::lock_guard lock(mutex_);
    return last_[id];
  }
  bool WaitFor(ProbeId id, Health health) {
    return TestDataPlane::WaitUntil([&] { return Last(id).health == health; });
  }
  static std::shared_ptr<const ProbeSettings> Quick(ProbeSettings settings = {}) {
    settings.interval = std::chrono::milliseconds(50);
    settings.timeout = std::chrono::milliseconds(500);
    return std::make_shared<const ProbeSettings>(settings);
  }

  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      boost::asio::make_work_guard(io_)};
  std::unique_ptr<HealthChecker> checker_;
  std::mutex mutex_;
  std::map<ProbeId, HealthReport> last_;
  std::thread thread_;
};

TEST_F(HealthTest, TheFirstProbeDecidesAndADeathIsSeen) {
  Start();
  auto server = std::make_unique<TcpServer>(testing::Echo);
  testing::RefusedAddress refused;
  checker_->Put({{.id = 1, .address = server->address(), .settings = Quick()},
                 {.id = 2, .address = refused.address, .settings = Quick()}});
  EXPECT_TRUE(WaitFor(1, Health::kHealthy));
  EXPECT_TRUE(WaitFor(2, Health::kUnhealthy));
  EXPECT_EQ(Last(2).reason, ProbeReason::kRefused);
  EXPECT_EQ(Last(2).detail, "connect: ECONNREFUSED");
  EXPECT_GT(Last(1).latency.count(), 0);
  server.reset();
  EXPECT_TRUE(WaitFor(1, Health::kUnhealthy));
  EXPECT_GE(Last(1).consecutive_bad, 3u);
  EXPECT_EQ(Last(1).transitions, 1u);
}

TEST_F(HealthTest, SendAndExpect) {
  Start();
  TcpServer server([](TcpSocket& socket) {
    if (socket.Receive(4) == "PING") socket.Send("PONG and more");
  });
  TcpServer silent([](TcpSocket& socket) { socket.WaitForEnd(); });
  const ProbeSettings wanted{.kind = ProbeKind::kSendExpect, .send = "PING", .expect = "PONG"};
  ProbeSettings other = wanted;
  other.expect = "OK";
  checker_->Put({{.id = 1, .address = server.address(), .settings = Quick(wanted)},
                 {.id = 2, .address = server.address(), .settings = Quick(other)},
                 {.id = 3, .address = silent.address(), .settings = Quick(wanted)}});
  EXPECT_TRUE(WaitFor(1, Health::kHealthy));
  EXPECT_TRUE(WaitFor(2, Health::kUnhealthy));
  EXPECT_EQ(Last(2).reason, ProbeReason::kBadResponse);
  EXPECT_TRUE(WaitFor(3, Health::kUnhealthy));
  EXPECT_EQ(Last(3).reason, ProbeReason::kNoReply);
}

TEST_F(HealthTest, TrafficReplacesProbesOfAHealthyBackend) {
  Start();
  TcpServer server(testing::Echo);
  auto backend = std::make_shared<Backend>(server.address(), 1);
  const auto counters = std::make_shared<ProbeCounters>();
  checker_->Put({{.id = 1,
                  .address = server.address(),
                  .backend = backend,
                  .settings = Quick(),
                  .counters = counters}});
  EXPECT_TRUE(WaitFor(1, Health::kHealthy));
  const uint64_t probes_before = counters->started.value();
  // Sessions keep coming: results come, probes do not.
  const uint32_t good_before = Last(1).consecutive_good;
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] {
    backend->Shard(0)->counters.sessions.Add(1);
    return Last(1).consecutive_good >= good_before + 5;
  }));
  EXPECT_LE(counters->started.value(), probes_before + 1);
}

// A process that hangs still accepts connections.
TEST_F(HealthTest, TrafficDoesNotReplaceProbesThatWantAnAnswer) {
  Start();
  TcpServer server(testing::Echo);
  auto backend = std::make_shared<Backend>(server.address(), 1);
  const auto counters = std::make_shared<ProbeCounters>();
  ProbeSettings settings = *Quick();
  settings.kind = ProbeKind::kSendExpect;
  settings.send = settings.expect = "ping";
  checker_->Put({{.id = 1,
                  .address = server.address(),
                  .backend = backend,
                  .settings = std::make_shared<const ProbeSettings>(settings),
                  .counters = counters}});
  EXPECT_TRUE(WaitFor(1, Health::kHealthy));
  const uint64_t probes_before = counters->started.value();
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] {
    backend->Shard(0)->counters.sessions.Add(1);
    return counters->started.value() >= probes_before + 3;
  }));
}

// An unhealthy one is asked ever more rarely; new settings are not to wait for that.
TEST_F(HealthTest, NewSettingsAreTriedAtOnce) {
  Start();
  testing::RefusedAddress refused;
  ProbeSettings slow = *Quick();
  slow.interval = std::chrono::hours(1);
  ProbeTarget target{
      .id = 1, .address = refused.address, .settings = std::make_shared<const ProbeSettings>(slow)};
  checker_->Put({target});
  EXPECT_TRUE(WaitFor(1, Health::kUnhealthy));
  const uint32_t bad_before = Last(1).consecutive_bad;
  target.settings = Quick();
  checker_->Put({target});
  EXPECT_TRUE(TestDataPlane::WaitUntil([&] { return Last(1).consecutive_bad > bad_before; }));
}

TEST_F(HealthTest, ATargetThatIsPutAnewGoesOnCounting) {
  Start();
  TcpServer server(testing::Echo);
  testing::RefusedAddress refused;
  const auto counters = std::make_shared<ProbeCounters>();
  ProbeTarget target{
      .id = 1, .address = server.address(), .settings = Quick(), .counters = counters};
  checker_->Put({target});
  EXPECT_TRUE(WaitFor(1, Health::kHealthy));
  EXPECT_EQ(counters->failed.value(), 0u);
  const uint64_t before = counters->started.value();

  target.address = refused.address;
  checker_->Put({target});

  EXPECT_TRUE(WaitFor(1, Health::kUnhealthy));
  EXPECT_GT(counters->failed.value(), 0u);
  EXPECT_GE(counters->started.value(), before + counters->failed.value());
}

TEST_F(HealthTest, BoundsHoldAndNobodyIsForgotten) {
  Start({.max_in_flight = 4, .starts_per_second = 400});
  TcpServer server(testing::Echo);
  constexpr ProbeId kTargets = 100;
  std::vector<ProbeTarget> targets;
  for (ProbeId id = 1; id <= kTargets; ++id) {
    targets.push_back({.id = id, .address = server.address(), .settings = Quick()});
  }
  checker_->Put(targets);
  for (ProbeId id = 1; id <= kTargets; ++id) ASSERT_TRUE(WaitFor(id, Health::kHealthy)) << id;
  std::vector<ProbeId> ids;
  for (ProbeId id = 1; id <= kTargets; ++id) ids.push_back(id);
  checker_->Remove(ids);
}

}  // namespace
}  // namespace sidelb
