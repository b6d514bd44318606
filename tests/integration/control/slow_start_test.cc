// Slow start in force.
#include <gtest/gtest.h>

#include "fmt/format.h"
#include "tests/integration/control/sync_controller.h"

namespace sidelb::control {
namespace {

using testing::TcpServer;
using testing::TestDataPlane;

constexpr absl::Duration kRamp = absl::Milliseconds(600);

Op SlowPool(HealthCheckSpec check, std::optional<Mode> mode = std::nullopt) {
  return {.op = PutPool{.spec = {.name = "web",
                                 .mode = mode,
                                 .health_check = std::move(check),
                                 .slow_start = kRamp}}};
}

// The weights in force of a backend until it has all of it.
std::vector<uint32_t> WatchRamp(SyncController& control, const Address& address) {
  std::vector<uint32_t> weights;
  TestDataPlane::WaitUntil([&] {
    const auto status = control.StatusOf(address);
    const uint32_t weight = status ? status->effective_weight : 0;
    if (weights.empty() || weights.back() != weight) weights.push_back(weight);
    return weight == kDefaultWeight;
  });
  return weights;
}

TEST(SlowStartInForceTest, ANewBackendGetsItsShareStepByStep) {
  SyncController control;
  ASSERT_TRUE(
      control.Apply({SlowPool({.kind = HealthCheckKind::kNone}), Upsert("web", {B("10.0.0.1:80")})})
          .ok());
  WatchRamp(control, At("10.0.0.1:80"));
  ASSERT_TRUE(control.Apply({Upsert("web", {B("10.0.0.2:80")})}).ok());
  const std::vector<uint32_t> weights = WatchRamp(control, At("10.0.0.2:80"));
  EXPECT_LE(weights.front(), 50u);
  EXPECT_GE(weights.size(), 3u);
  EXPECT_TRUE(std::is_sorted(weights.begin(), weights.end()));
  EXPECT_EQ(weights.back(), kDefaultWeight);
  EXPECT_EQ(control.StatusOf(At("10.0.0.1:80"))->effective_weight, kDefaultWeight);
}

TEST(SlowStartInForceTest, ABackendThatIsHealthyAgainBeginsAnew) {
  auto server = std::make_unique<TcpServer>(testing::Echo);
  const Address address = server->address();
  SyncController control;
  ASSERT_TRUE(control
                  .Apply({SlowPool({.kind = HealthCheckKind::kTcpConnect,
                                    .interval = absl::Milliseconds(20)}),
                          Upsert("web", {{.address = address}})})
                  .ok());
  const auto wait_for = [&](BackendState state) {
    return TestDataPlane::WaitUntil([&] { return control.StatusOf(address)->state == state; });
  };
  EXPECT_TRUE(wait_for(BackendState::kServing));
  WatchRamp(control, address);
  server.reset();
  EXPECT_TRUE(wait_for(BackendState::kUnhealthy));
  server = std::make_unique<TcpServer>(testing::Echo, address);
  EXPECT_TRUE(wait_for(BackendState::kServing));
  EXPECT_LT(WatchRamp(control, address).front(), kDefaultWeight);
}

TEST(SlowStartInForceTest, HashModesDoNotMoveClientsForIt) {
  SyncController control;
  ASSERT_TRUE(control
                  .Apply({SlowPool({.kind = HealthCheckKind::kNone}, Mode::kMaglev),
                          Upsert("web", {B("10.0.0.1:80")})})
                  .ok());
  EXPECT_EQ(control.StatusOf(At("10.0.0.1:80"))->effective_weight, kDefaultWeight);
}

// Pools whose tables are built beside the control thread.
TEST(LargePoolTest, AChangeOfAMaglevPoolIsInForceWhenItIsAcknowledged) {
  TcpServer server(testing::Greet("A"), At("0.0.0.0:0"));
  std::vector<BackendSpec> backends;
  for (int i = 0; i < 700; ++i) {
    backends.push_back(
        B(fmt::format("127.1.{}.{}:{}", i / 250, 1 + i % 250, server.address().port())));
  }
  SyncController control;
  ASSERT_TRUE(
      control
          .Apply({{.op = PutPool{.spec = {.name = "web",
                                          .mode = Mode::kMaglev,
                                          .health_check =
                                              HealthCheckSpec{.kind = HealthCheckKind::kNone}}}},
                  Upsert("web", backends),
                  Listener("http", "127.0.0.1:0", "web")})
          .ok());
  const Address address = control.ListenAddress("http");
  EXPECT_EQ(testing::TcpSocket::Connect(address).Receive(1), "A");
  // All but the last one go, one change after the other.
  const Address last = backends.back().address;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(control.Apply({Remove("web", {backends[i].address})}).ok());
  }
  ApplyRequest replace = Ops({Replace("web", {{.address = last}})});
  replace.allow_mass_removal = true;
  ASSERT_TRUE(control.Apply(replace).ok());
  const auto before = control.StatusOf(last)->active_connections;
  const testing::TcpSocket session = testing::TcpSocket::Connect(address);
  EXPECT_TRUE(TestDataPlane::WaitUntil(
      [&] { return control.StatusOf(last)->active_connections == before + 1; }));
}

}  // namespace
}  // namespace sidelb::control
