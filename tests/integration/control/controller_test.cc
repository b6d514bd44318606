// The controller with real shards: what an acknowledged change means for traffic.
#include "server/control/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/support/tcp.h"
#include "tests/support/test_data_plane.h"
#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

using testing::End;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::TcpServer;
using testing::TcpSocket;

class ControllerTest : public ::testing::Test {
 protected:
  ControllerTest() : controller_(*Controller::Start({.shards = 2})) {}

  absl::StatusOr<ApplyResponse> Apply(ApplyRequest request) {
    std::promise<absl::StatusOr<ApplyResponse>> answer;
    controller_->Apply(std::move(request), [&](absl::StatusOr<ApplyResponse> got) {
      answer.set_value(std::move(got));
    });
    return answer.get_future().get();
  }
  std::shared_ptr<const StateView> Read(Filter filter = {}) {
    std::promise<absl::StatusOr<std::shared_ptr<const StateView>>> answer;
    controller_->GetState(std::move(filter), 0, absl::InfiniteFuture(),
                          [&](auto got) { answer.set_value(std::move(got)); });
    return *answer.get_future().get();
  }
  // Without probes, so that nothing but the test changes what is eligible.
  static Op Unchecked(std::string name) {
    const HealthCheckSpec none{.kind = HealthCheckKind::kNone};
    return {.op = PutPool{.spec = {.name = std::move(name), .health_check = none}}};
  }
  Info GetInfo() {
    std::promise<Info> answer;
    controller_->GetInfo([&](Info info) { answer.set_value(info); });
    return answer.get_future().get();
  }
  // A pool `web` with these backends and a listener `http`; its address.
  Address Serve(const std::vector<const TcpServer*>& servers) {
    std::vector<BackendSpec> backends;
    for (const TcpServer* server : servers) backends.push_back({.address = server->address()});
    const auto applied = Apply(
        Ops({Unchecked("web"), Upsert("web", backends), Listener("http", "127.0.0.1:0", "web")}));
    EXPECT_TRUE(applied.ok()) << applied.status();
    EXPECT_EQ(applied->reached, WaitFor::kApplied);
    return Read()->listeners.at(0).status.bound_address;
  }
  BackendStatus StatusOf(const TcpServer& server) {
    const auto view = Read();
    for (const auto& entry : view->backends) {
      if (entry.object->address == server.address()) return entry.status;
    }
    return {};
  }

  std::unique_ptr<Controller> controller_;
};

TEST_F(ControllerTest, TrafficFlowsWhenApplyIsAnswered) {
  TcpServer a(testing::Greet("A")), b(testing::Greet("B"));
  const Address address = Serve({&a, &b});
  TcpSocket first = TcpSocket::Connect(address);
  EXPECT_EQ(first.Receive(1), "A");
  TcpSocket second = TcpSocket::Connect(address);
  EXPECT_EQ(second.Receive(1), "B");
  EXPECT_EQ(StatusOf(a).active_connections, 1u);
  EXPECT_EQ(StatusOf(a).state, BackendState::kServing);
  const auto view = Read();
  EXPECT_EQ(view->pools.at(0).status.serving, 2u);
  EXPECT_EQ(view->listeners.at(0).status.active_connections, 2u);
  EXPECT_TRUE(view->listeners.at(0).status.is_bound);
}

TEST_F(ControllerTest, AListenerThatCannotBindChangesNothing) {
  TcpServer holder(testing::Echo);
  const uint64_t before = GetInfo().revision;
  const auto refused =
      Apply(Ops({Pool("web"), Listener("http", holder.address().ToString(), "web")}));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Reason(refused.status()), "BIND_FAILED");
  EXPECT_EQ(GetErrorDetails(refused.status())->metadata.at("errno"), "EADDRINUSE");
  EXPECT_EQ(Field(refused.status()), "ops[1].put_listener.address");
  EXPECT_EQ(GetInfo().revision, before);
  EXPECT_THAT(Read()->pools, IsEmpty());
}

TEST_F(ControllerTest, ValidateOnlyChangesNothing) {
  ApplyRequest request = Ops({Pool("web"), Listener("http", "127.0.0.1:0", "web")});
  request.validate_only = true;
  const auto checked = Apply(request);
  ASSERT_TRUE(checked.ok());
  EXPECT_EQ(checked->results[0].added, 1u);
  EXPECT_THAT(Read()->pools, IsEmpty());
  TcpServer holder(testing::Echo);
  request.ops[1] = Listener("http", holder.address().ToString(), "web");
  EXPECT_EQ(Reason(Apply(request).status()), "BIND_FAILED") << "binding is part of the check";
}

TEST_F(ControllerTest, ARemovedBackendDrainsIsVisibleAndThenGone) {
  TcpServer a(testing::Echo), b(testing::Echo);
  const Address address = Serve({&a, &b});
  TcpSocket session = TcpSocket::Connect(address);
  session.Send("x");
  EXPECT_EQ(session.Receive(1), "x");
  ApplyRequest remove = Ops({Remove("web", {a.address()})});
  EXPECT_EQ(Apply(remove)->reached, WaitFor::kApplied);
  EXPECT_EQ(StatusOf(a).state, BackendState::kRemoving);
  EXPECT_EQ(StatusOf(a).ineligible_reason, IneligibleReason::kRemoved);
  EXPECT_TRUE(StatusOf(a).drain_deadline.has_value());
  session.Send("y");
  EXPECT_EQ(session.Receive(1), "y") << "its session goes on";
  session.Close();
  EXPECT_TRUE(testing::TestDataPlane::WaitUntil([&] { return Read()->backends.size() == 1; }));
}

TEST_F(ControllerTest, TheDeadlineOfADrainResets) {
  TcpServer a(testing::Echo);
  TcpSocket session = TcpSocket::Connect(Serve({&a}));
  session.Send("x");
  EXPECT_EQ(session.Receive(1), "x");
  Op remove = Remove("web", {a.address()});
  std::get<RemoveBackends>(remove.op).drain = DrainSpec{.timeout = absl::Milliseconds(120)};
  ApplyRequest request = Ops({remove});
  request.wait = WaitFor::kDrained;
  const auto drained = Apply(request);
  ASSERT_TRUE(drained.ok());
  EXPECT_EQ(drained->reached, WaitFor::kDrained);
  EXPECT_EQ(session.WaitForEnd(), End::kReset);
}

TEST_F(ControllerTest, AWaitThatRunsOutSaysHowFarItCame) {
  TcpServer a(testing::Echo);
  TcpSocket session = TcpSocket::Connect(Serve({&a}));
  session.Send("x");
  EXPECT_EQ(session.Receive(1), "x");
  ApplyRequest request =
      Ops({Impose("web", {a.address()}, {.admin_state = AdminState::kDraining})});
  request.wait = WaitFor::kDrained;
  request.wait_timeout = absl::Milliseconds(100);
  const auto drained = Apply(request);
  ASSERT_TRUE(drained.ok());
  EXPECT_EQ(drained->reached, WaitFor::kApplied);
  EXPECT_EQ(drained->pending, 1u);
  EXPECT_EQ(StatusOf(a).state, BackendState::kDraining);
  EXPECT_FALSE(StatusOf(a).drain_deadline.has_value()) << "an override has none unless told";
}

TEST_F(ControllerTest, TakingABackendBackEndsTheWait) {
  TcpServer a(testing::Echo);
  TcpSocket session = TcpSocket::Connect(Serve({&a}));
  session.Send("x");
  EXPECT_EQ(session.Receive(1), "x");
  ApplyRequest drain = Ops({Impose("web", {a.address()}, {.admin_state = AdminState::kDraining})});
  drain.wait = WaitFor::kDrained;
  std::promise<absl::StatusOr<ApplyResponse>> answer;
  controller_->Apply(drain,
                     [&](absl::StatusOr<ApplyResponse> got) { answer.set_value(std::move(got)); });
  EXPECT_TRUE(
      Apply(Ops({{.op = SetOverride{.pool = "web", .selector = {.all = true}, .clear = true}}}))
          .ok());
  const auto drained = answer.get_future().get();
  ASSERT_TRUE(drained.ok());
  EXPECT_THAT(drained->warnings, SizeIs(1));
  EXPECT_THAT(drained->warnings[0], HasSubstr("taken back"));
}

TEST_F(ControllerTest, DisablingResetsTheSessions) {
  TcpServer a(testing::Echo), b(testing::Echo);
  TcpSocket session = TcpSocket::Connect(Serve({&a, &b}));
  session.Send("x");
  EXPECT_EQ(session.Receive(1), "x");
  EXPECT_TRUE(
      Apply(Ops({Impose("web", {a.address()}, {.admin_state = AdminState::kDisabled})})).ok());
  EXPECT_EQ(session.WaitForEnd(), End::kReset);
  EXPECT_EQ(StatusOf(a).state, BackendState::kDisabled);
  EXPECT_EQ(StatusOf(a).ineligible_reason, IneligibleReason::kDisabled);
}

TEST_F(ControllerTest, AReaddedBackendMeetsItsOldCounts) {
  TcpServer a(testing::Echo), b(testing::Echo);
  TcpSocket session = TcpSocket::Connect(Serve({&a, &b}));
  session.Send("x");
  EXPECT_EQ(session.Receive(1), "x");
  EXPECT_TRUE(Apply(Ops({Remove("web", {a.address()})})).ok());
  EXPECT_TRUE(Apply(Ops({Upsert("web", {{.address = a.address()}})})).ok());
  EXPECT_EQ(StatusOf(a).state, BackendState::kServing);
  EXPECT_EQ(StatusOf(a).active_connections, 1u);
  EXPECT_FALSE(StatusOf(a).drain_deadline.has_value());
  session.Send("y");
  EXPECT_EQ(session.Receive(1), "y");
}

TEST_F(ControllerTest, ListenersMoveSwapAndGo) {
  TcpServer a(testing::Greet("A")), b(testing::Greet("B"));
  const Address first = Serve({&a});
  ASSERT_TRUE(Apply(Ops({Pool("other"), Upsert("other", {{.address = b.address()}}),
                         Listener("second", "127.0.0.1:0", "other")}))
                  .ok());
  const Address second = Read({.listeners = {"second"}})->listeners.at(0).status.bound_address;
  // Fixed ports now, so that the two can swap them.
  ASSERT_TRUE(Apply(Ops({{.op = RemoveListener{"http"}}, {.op = RemoveListener{"second"}}})).ok());
  ASSERT_TRUE(Apply(Ops({Listener("http", first.ToString(), "web"),
                         Listener("second", second.ToString(), "other")}))
                  .ok());
  TcpSocket kept = TcpSocket::Connect(first);
  EXPECT_EQ(kept.Receive(1), "A");
  const auto swapped = Apply(Ops(
      {Listener("http", second.ToString(), "web"), Listener("second", first.ToString(), "other")}));
  ASSERT_TRUE(swapped.ok()) << swapped.status();
  EXPECT_EQ(TcpSocket::Connect(first).Receive(1), "B");
  EXPECT_EQ(TcpSocket::Connect(second).Receive(1), "A");
  EXPECT_EQ(kept.end(), End::kNone);
  // Disabling closes the socket and keeps the configuration.
  Op disable = Listener("http", second.ToString(), "web");
  std::get<PutListener>(disable.op).spec.disabled = true;
  ASSERT_TRUE(Apply(Ops({disable})).ok());
  EXPECT_FALSE(TcpSocket::Connect(second).is_open());
  EXPECT_FALSE(Read({.listeners = {"http"}})->listeners.at(0).status.is_bound);
  ASSERT_TRUE(Apply(Ops({Listener("http", second.ToString(), "web")})).ok());
  EXPECT_EQ(TcpSocket::Connect(second).Receive(1), "A");
}

TEST_F(ControllerTest, APoolChangesUnderItsListener) {
  TcpServer a(testing::Greet("A")), b(testing::Greet("B"));
  const Address address = Serve({&a});
  ASSERT_TRUE(Apply(Ops({Pool("other"), Upsert("other", {{.address = b.address()}}),
                         Listener("http", "127.0.0.1:0", "other")}))
                  .ok());
  EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "B") << "the same socket, another pool";
}

TEST_F(ControllerTest, LeastConnectionsFollowsThroughChanges) {
  TcpServer a(testing::Greet("A")), b(testing::Greet("B"));
  const Address address = Serve({&a, &b});
  ASSERT_TRUE(Apply(Ops({{.op = SetMode{"web", Mode::kLeastConnections}}})).ok());
  std::vector<TcpSocket> held;
  for (int i = 0; i < 10; ++i) {
    held.push_back(TcpSocket::Connect(address));
    held.back().Receive(1);
  }
  EXPECT_EQ(StatusOf(a).active_connections, 5u);
  EXPECT_EQ(StatusOf(b).active_connections, 5u);
  ASSERT_TRUE(Apply(Ops({Remove("web", {a.address()})})).ok());
  TcpSocket only = TcpSocket::Connect(address);
  EXPECT_EQ(only.Receive(1), "B");
  ASSERT_TRUE(Apply(Ops({Upsert("web", {{.address = a.address()}})})).ok());
  TcpSocket next = TcpSocket::Connect(address);
  EXPECT_EQ(next.Receive(1), "A") << "5 against 6";
  ASSERT_TRUE(Apply(Ops({{.op = SetMode{"web", Mode::kRoundRobin}}})).ok());
  held.clear();
}

TEST_F(ControllerTest, ReadsWaitForARevision) {
  const uint64_t revision = GetInfo().revision;
  std::promise<uint64_t> reached;
  controller_->GetState({}, revision + 1, absl::InfiniteFuture(),
                        [&](auto got) { reached.set_value((*got)->revision); });
  EXPECT_TRUE(Apply(Ops({Pool("web")})).ok());
  EXPECT_EQ(reached.get_future().get(), revision + 1);
  std::promise<absl::Status> failed;
  controller_->GetState({}, revision + 100, absl::Now() + absl::Milliseconds(50),
                        [&](auto got) { failed.set_value(std::move(got).status()); });
  EXPECT_EQ(Reason(failed.get_future().get()), "FUTURE_REVISION");
}

TEST_F(ControllerTest, DrainRefusesWritesAndWaitsForSessions) {
  TcpServer a(testing::Echo);
  const Address address = Serve({&a});
  TcpSocket session = TcpSocket::Connect(address);
  session.Send("x");
  EXPECT_EQ(session.Receive(1), "x");
  std::promise<uint64_t> left;
  controller_->Drain(absl::Seconds(30), [&](uint64_t sessions) { left.set_value(sessions); });
  EXPECT_EQ(Reason(Apply(Ops({Pool("late")})).status()), "SERVER_DRAINING");
  EXPECT_THAT(Read()->pools, SizeIs(1)) << "reads are answered";
  EXPECT_TRUE(
      testing::TestDataPlane::WaitUntil([&] { return !TcpSocket::Connect(address).is_open(); }));
  session.Send("y");
  EXPECT_EQ(session.Receive(1), "y");
  session.Close();
  EXPECT_EQ(left.get_future().get(), 0u);
}

TEST_F(ControllerTest, ManyAppliesAtOnceAllReachApplied) {
  TcpServer a(testing::Echo);
  Serve({&a});
  constexpr int kApplies = 200;
  std::vector<std::promise<absl::StatusOr<ApplyResponse>>> answers(kApplies);
  for (int i = 0; i < kApplies; ++i) {
    controller_->Apply(Ops({Upsert("web", {{.address = At("127.0.0.1:" + std::to_string(1000 + i)),
                                            .weight = 0}})}),
                       [&answers, i](auto got) { answers[i].set_value(std::move(got)); });
  }
  uint64_t last = 0;
  for (auto& answer : answers) {
    const auto got = answer.get_future().get();
    ASSERT_TRUE(got.ok());
    EXPECT_EQ(got->reached, WaitFor::kApplied);
    EXPECT_GT(got->revision, last);
    last = got->revision;
  }
  EXPECT_EQ(GetInfo().applied_revision, last);
}

TEST_F(ControllerTest, StopAnswersWhatWaits) {
  TcpServer a(testing::Echo);
  TcpSocket session = TcpSocket::Connect(Serve({&a}));
  session.Send("x");
  EXPECT_EQ(session.Receive(1), "x");
  ApplyRequest drain = Ops({Impose("web", {a.address()}, {.admin_state = AdminState::kDraining})});
  drain.wait = WaitFor::kDrained;
  std::promise<absl::StatusOr<ApplyResponse>> answer;
  controller_->Apply(drain,
                     [&](absl::StatusOr<ApplyResponse> got) { answer.set_value(std::move(got)); });
  controller_->Stop();
  EXPECT_TRUE(answer.get_future().get().ok()) << "it was committed, whatever came then";
  EXPECT_EQ(session.WaitForEnd(), End::kReset);
  EXPECT_EQ(Apply(Ops({Pool("late")})).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace sidelb::control
