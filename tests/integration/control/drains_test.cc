// Backends that leave: what happens to their sessions, what a wait for DRAINED says, and when they
// are gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/control/sync_controller.h"

namespace sidelb::control {
namespace {

using testing::Echo;
using testing::End;
using ::testing::HasSubstr;
using testing::TcpServer;
using testing::TcpSocket;

constexpr absl::Duration kLong = absl::Seconds(testing::kLimitSeconds);
constexpr absl::Duration kShort = absl::Milliseconds(20);

Op RemoveWith(const Address& address, DrainSpec drain) {
  Op remove = Remove("web", {address});
  std::get<RemoveBackends>(remove.op).drain = drain;
  return remove;
}

Op DrainOp(const Address& address, std::optional<DrainSpec> drain = std::nullopt) {
  return Impose("web", {address}, {.admin_state = AdminState::kDraining, .drain = drain});
}

TEST(DrainsTest, TheSameDrainAgainWaitsForItsEnd) {
  TcpServer a(Echo);
  SyncController control;
  TcpSocket session = OpenEcho(control.Serve({a.address()}));
  const auto first = control.ApplyAndWait({DrainOp(a.address())}, WaitFor::kDrained, kShort);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->reached, WaitFor::kApplied);
  EXPECT_EQ(first->pending, 1u);

  const auto again = control.ApplyAndWait({DrainOp(a.address())}, WaitFor::kDrained, kShort);
  EXPECT_EQ(again->revision, first->revision) << "nothing changed";
  EXPECT_EQ(again->reached, WaitFor::kApplied);
  EXPECT_EQ(again->pending, 1u);

  session.Close();
  const auto last = control.ApplyAndWait({DrainOp(a.address())}, WaitFor::kDrained, kLong);
  EXPECT_EQ(last->reached, WaitFor::kDrained);
  EXPECT_EQ(last->pending, 0u);
}

TEST(DrainsTest, TheSameRemovalAgainWaitsForItsEnd) {
  TcpServer a(Echo), b(Echo);
  SyncController control;
  const Address address = control.Serve({a.address(), b.address()});
  TcpSocket session = OpenEcho(address);
  ASSERT_TRUE(control.Apply({Remove("web", {a.address()})}).ok());

  const auto again =
      control.ApplyAndWait({Remove("web", {a.address()})}, WaitFor::kDrained, kShort);
  EXPECT_EQ(again->reached, WaitFor::kApplied);
  EXPECT_EQ(again->pending, 1u);

  session.Close();
  const auto last = control.ApplyAndWait({Remove("web", {a.address()})}, WaitFor::kDrained, kLong);
  EXPECT_EQ(last->reached, WaitFor::kDrained);
  EXPECT_TRUE(control.WaitUntilGone(a.address()));
}

TEST(DrainsTest, ZeroSecondsResetWithTheChangeItself) {
  TcpServer a(Echo), b(Echo);
  SyncController control;
  const Address address = control.Serve({a.address(), b.address()});
  TcpSocket first = OpenEcho(address), second = OpenEcho(address);

  ASSERT_TRUE(control
                  .Apply({RemoveWith(a.address(), {.timeout = absl::ZeroDuration()}),
                          DrainOp(b.address(), DrainSpec{.timeout = absl::ZeroDuration()})})
                  .ok());

  // Applied means that it has happened, not that it will.
  EXPECT_EQ(control.GetInfo().active_connections, 0u);
  EXPECT_EQ(first.WaitForEnd(), End::kReset);
  EXPECT_EQ(second.WaitForEnd(), End::kReset);
  EXPECT_EQ(control.StatusOf(b.address())->state, BackendState::kDraining);
}

TEST(DrainsTest, TheDeadlineOfAnOverrideResetsWhatIsLeft) {
  TcpServer a(Echo), b(Echo);
  SyncController control;
  const Address address = control.Serve({a.address(), b.address()});
  TcpSocket drained = OpenEcho(address), kept = OpenEcho(address);

  const auto done = control.ApplyAndWait({DrainOp(a.address(), DrainSpec{.timeout = kShort})},
                                         WaitFor::kDrained, kLong);

  EXPECT_EQ(done->reached, WaitFor::kDrained);
  EXPECT_EQ(drained.WaitForEnd(), End::kReset);
  EXPECT_TRUE(kept.Send("y"));
  EXPECT_EQ(kept.Receive(1), "y");
  EXPECT_FALSE(control.StatusOf(a.address())->drain_deadline.has_value()) << "it has passed";
}

TEST(DrainsTest, KeepLetsSessionsEndByThemselves) {
  TcpServer a(Echo);
  SyncController control;
  TcpSocket session = OpenEcho(control.Serve({a.address()}));

  const auto waited = control.ApplyAndWait(
      {RemoveWith(a.address(),
                  {.timeout = absl::Milliseconds(1), .on_timeout = DrainAction::kKeep})},
      WaitFor::kDrained, absl::Milliseconds(60));

  EXPECT_EQ(waited->reached, WaitFor::kApplied);
  EXPECT_FALSE(control.StatusOf(a.address())->drain_deadline.has_value());
  EXPECT_TRUE(session.Send("y"));
  EXPECT_EQ(session.Receive(1), "y");
  session.Close();
  EXPECT_TRUE(control.WaitUntilGone(a.address()));
}

TEST(DrainsTest, TakenBackIsNotDrained) {
  TcpServer a(Echo);
  SyncController control;
  TcpSocket session = OpenEcho(control.Serve({a.address()}));
  ApplyRequest remove = Ops({Remove("web", {a.address()})});
  remove.wait = WaitFor::kDrained;
  auto waiting = control.Send(remove);

  ASSERT_TRUE(control.Apply({Upsert("web", {{.address = a.address()}})}).ok());

  const auto got = waiting.get();
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->reached, WaitFor::kApplied);
  EXPECT_EQ(got->pending, 1u);
  ASSERT_EQ(got->warnings.size(), 1u);
  EXPECT_THAT(got->warnings[0], HasSubstr("taken back into service"));
  EXPECT_FALSE(control.StatusOf(a.address())->drain_deadline.has_value());
}

TEST(DrainsTest, EnablingBeforeTheDeadlineCancelsIt) {
  TcpServer a(Echo), b(Echo);
  SyncController control;
  const Address address = control.Serve({a.address(), b.address()});
  TcpSocket session = OpenEcho(address), other = OpenEcho(address);
  const DrainSpec drain{.timeout = absl::Milliseconds(100)};
  ASSERT_TRUE(control.Apply({DrainOp(a.address(), drain)}).ok());
  ASSERT_TRUE(control.StatusOf(a.address())->drain_deadline.has_value());
  ASSERT_TRUE(
      control.Apply({Impose("web", {a.address()}, {.admin_state = AdminState::kEnabled})}).ok());

  // A later deadline has passed by when that of `b` has.
  EXPECT_EQ(control.ApplyAndWait({DrainOp(b.address(), drain)}, WaitFor::kDrained, kLong)->reached,
            WaitFor::kDrained);
  EXPECT_TRUE(session.Send("y"));
  EXPECT_EQ(session.Receive(1), "y");
}

TEST(DrainsTest, AClaimThatDisablesResets) {
  TcpServer a(Echo);
  SyncController control;
  TcpSocket session = OpenEcho(control.Serve({a.address()}));
  BackendSpec spec{.address = a.address()};
  spec.admin_state = AdminState::kDisabled;
  EXPECT_EQ(control.ApplyAndWait({Upsert("web", {spec})}, WaitFor::kDrained, kLong)->reached,
            WaitFor::kDrained);
  EXPECT_EQ(session.WaitForEnd(), End::kReset);
}

TEST(DrainsTest, ARemovedPoolThatComesBackMeetsItsOldCounts) {
  TcpServer a(Echo);
  SyncController control;
  TcpSocket session = OpenEcho(control.Serve({a.address()}));
  ASSERT_TRUE(control.Apply({{.op = RemovePool{.pool = "web", .force = true}}}).ok());
  EXPECT_EQ(control.StatusOf(a.address())->state, BackendState::kRemoving);

  const Address address = control.Serve({a.address()});

  EXPECT_NE(control.StatusOf(a.address())->state, BackendState::kRemoving);
  EXPECT_EQ(control.StatusOf(a.address())->active_connections, 1u);
  EXPECT_TRUE(session.Send("y"));
  EXPECT_EQ(session.Receive(1), "y");
  EXPECT_TRUE(OpenEcho(address).is_open());
}

TEST(DrainsTest, WhatIsRemovedIsNoPartOfItsPool) {
  TcpServer a(Echo), b(Echo);
  SyncController control;
  const Address address = control.Serve({a.address(), b.address()});
  TcpSocket first = OpenEcho(address);
  ASSERT_TRUE(control.Apply({Remove("web", {a.address()})}).ok());

  EXPECT_TRUE(testing::TestDataPlane::WaitUntil(
      [&] { return control.Read()->pools.at(0).status.serving == 1; }));  // probed
  const PoolStatus status = control.Read()->pools.at(0).status;
  EXPECT_EQ(status.total, 1u);
  EXPECT_EQ(status.active_connections, 1u);
  const auto removing = control.Read({.states = {BackendState::kRemoving}})->backends;
  ASSERT_EQ(removing.size(), 1u);
  EXPECT_TRUE(removing[0].object->claims.empty());
}

// A backend is freed even while changes never pause.
TEST(DrainsTest, RemovedBackendsGoWhileOtherChangesGoOn) {
  TcpServer a(Echo);
  SyncController control;
  control.Serve({a.address()});
  const Address gone = At("127.0.0.1:1");
  std::vector<std::future<SyncController::Answer>> answers;
  bool is_seen_gone = false;
  for (uint32_t i = 0; i < 400; ++i) {
    answers.push_back(control.Send(Ops({Upsert("web", {{.address = a.address(), .weight = i}})})));
    if (i == 100) answers.push_back(control.Send(Ops({Upsert("web", {{.address = gone}})})));
    if (i == 200) answers.push_back(control.Send(Ops({Remove("web", {gone})})));
    if (i > 250 && !is_seen_gone) is_seen_gone = !control.StatusOf(gone).has_value();
  }
  for (auto& answer : answers) ASSERT_TRUE(answer.get().ok());
  EXPECT_TRUE(is_seen_gone);
}

// Deadlines that pass while their backend's last session ends: the change in flight still names it.
TEST(DrainsTest, BackendsThatEndAtTheirDeadlineAreFreedInTime) {
  SyncController control(3);
  TcpServer steady(Echo);
  const Address address = control.Serve({steady.address()});
  for (int round = 0; round < 30; ++round) {
    TcpServer server(Echo);
    ASSERT_TRUE(control.Apply({Upsert("web", {{.address = server.address()}})}).ok());
    std::vector<TcpSocket> sessions;
    for (int i = 0; i < 8; ++i) sessions.push_back(OpenEcho(address));
    const auto sent = control.Apply(
        {RemoveWith(server.address(), {.timeout = absl::Milliseconds(1 + round % 4)})});
    ASSERT_TRUE(sent.ok());
    sessions.clear();
    ASSERT_TRUE(control.WaitUntilGone(server.address()));
  }
}

}  // namespace
}  // namespace sidelb::control
