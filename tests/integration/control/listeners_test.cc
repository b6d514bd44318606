// Listeners that change, move and go, as the controller binds them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/control/sync_controller.h"

namespace sidelb::control {
namespace {

using testing::Echo;
using testing::End;
using testing::Greet;
using ::testing::HasSubstr;
using testing::TcpServer;
using testing::TcpSocket;

// A port that was free a moment ago, on an address from which no connection of a test comes.
Address FreeAddress() {
  testing::RefusedAddress held;
  return At("127.0.77.1:" + std::to_string(held.address.port()));
}

TEST(ListenersTest, PuttingTheBoundPortKeepsSocketAndSessions) {
  TcpServer a(Echo), b(Greet("B"));
  SyncController control;
  const Address address = control.Serve({a.address()});
  TcpSocket session = OpenEcho(address);

  const auto put = control.Apply({Pool("other"), Upsert("other", {{.address = b.address()}}),
                                  Listener("http", address.ToString(), "other")});

  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(TcpSocket::Connect(address).Receive(1), "B");
  EXPECT_TRUE(session.Send("y"));
  EXPECT_EQ(session.Receive(1), "y");
  // And back to any port: the one that it has will do.
  ASSERT_TRUE(control.Apply({Listener("http", "127.0.0.1:0", "other")}).ok());
  EXPECT_EQ(control.ListenAddress("http"), address);
}

TEST(ListenersTest, AMovedListenerKeepsItsSessionsAndFreesItsPort) {
  TcpServer a(Echo);
  SyncController control;
  const Address old_address = control.Serve({a.address()});
  TcpSocket session = OpenEcho(old_address);
  const Address wanted = FreeAddress();

  ASSERT_TRUE(control.Apply({Listener("http", wanted.ToString(), "web")}).ok());

  EXPECT_EQ(control.ListenAddress("http"), wanted);
  EXPECT_FALSE(TcpSocket::Connect(old_address).is_open());
  TcpSocket other = OpenEcho(wanted);
  EXPECT_TRUE(session.Send("y"));
  EXPECT_EQ(session.Receive(1), "y");
  EXPECT_EQ(control.Read()->listeners.at(0).status.active_connections, 2u)
      << "its counts go with it";
}

TEST(ListenersTest, AnAddressOfOurOwnNamesItsHolder) {
  TcpServer a(Echo);
  SyncController control;
  const Address address = control.Serve({a.address()});
  const uint64_t before = control.GetInfo().revision;

  const auto refused = control.Apply({Listener("second", address.ToString(), "web")});

  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Reason(refused.status()), "BIND_FAILED");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("listener 'http' listens on"));
  EXPECT_EQ(control.GetInfo().revision, before);
  EXPECT_TRUE(OpenEcho(address).is_open());
}

TEST(ListenersTest, AFailureToBindUndoesTheSocketsBoundBefore) {
  TcpServer holder(Echo);
  SyncController control;
  const Address good = FreeAddress();

  const auto refused = control.Apply({Pool("web"), Listener("a", good.ToString(), "web"),
                                      Listener("b", holder.address().ToString(), "web")});

  EXPECT_EQ(Field(refused.status()), "ops[2].put_listener.address");
  EXPECT_EQ(GetErrorDetails(refused.status())->metadata.at("listener"), "b");
  const auto again = control.Apply({Pool("web"), Listener("a", good.ToString(), "web")});
  EXPECT_TRUE(again.ok()) << again.status();
}

// The removal is answered before the shards have closed the sockets; who wants the port next waits
// for that instead of failing.
TEST(ListenersTest, APortMayBeTakenAgainRightAfterItsRemovalWasCommitted) {
  TcpServer a(Echo);
  SyncController control;
  const Address address = FreeAddress();
  ASSERT_TRUE(control.Apply({Pool("web"), Upsert("web", {{.address = a.address()}})}).ok());
  for (int round = 0; round < 20; ++round) {
    const std::string name = "l" + std::to_string(round);
    ApplyRequest put = Ops({Listener(name, address.ToString(), "web")});
    ApplyRequest remove = Ops({{.op = RemoveListener{name}}});
    put.wait = remove.wait = WaitFor::kCommitted;
    auto added = control.Send(put);
    auto removed = control.Send(remove);
    ASSERT_TRUE(added.get().ok()) << round;
    ASSERT_TRUE(removed.get().ok()) << round;
  }
  ASSERT_TRUE(control.Apply({Listener("last", address.ToString(), "web")}).ok());
  EXPECT_TRUE(OpenEcho(address).is_open());
}

TEST(ListenersTest, ChangesKeepTheirOrderBehindOneThatWaits) {
  SyncController control;
  const Address address = FreeAddress();
  ASSERT_TRUE(control.Apply({Pool("web"), Listener("a", address.ToString(), "web")}).ok());
  ApplyRequest remove = Ops({{.op = RemoveListener{"a"}}});
  remove.wait = WaitFor::kCommitted;
  std::vector<std::future<SyncController::Answer>> answers;
  answers.push_back(control.Send(remove));
  answers.push_back(control.Send(Ops({Listener("b", address.ToString(), "web")})));
  answers.push_back(control.Send(Ops({Pool("later")})));
  uint64_t last = 0;
  for (auto& answer : answers) {
    const auto got = answer.get();
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_GT(got->revision, last);
    last = got->revision;
  }
}

TEST(ListenersTest, AWildcardThatHoldsThePortIsNamed) {
  SyncController control;
  ASSERT_TRUE(control.Apply({Pool("web"), Listener("all", "0.0.0.0:0", "web")}).ok());
  const Address all = control.ListenAddress("all");
  const std::string specific = "127.0.0.1:" + std::to_string(all.port());

  const auto other = control.Apply({Listener("one", specific, "web")});
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("listener 'all' listens on"));
  const auto itself = control.Apply({Listener("all", specific, "web")});
  EXPECT_THAT(std::string(itself.status().message()),
              HasSubstr("has to be removed by a change of its own first"));
  EXPECT_TRUE(control.Read()->listeners.at(0).status.is_bound);
}

TEST(ListenersTest, ARemovedPoolTakesItsListenerAlong) {
  TcpServer a(Echo);
  SyncController control;
  const Address address = control.Serve({a.address()});

  EXPECT_EQ(Reason(control.Apply({{.op = RemovePool{.pool = "web"}}}).status()), "POOL_IN_USE");
  const auto removed = control.Apply({{.op = RemovePool{.pool = "web", .force = true}}});

  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(removed->warnings.size(), 1u);
  EXPECT_FALSE(TcpSocket::Connect(address).is_open());
  EXPECT_TRUE(control.Read()->listeners.empty());
  EXPECT_TRUE(control.Read()->pools.empty());
  EXPECT_TRUE(control.WaitUntilGone(a.address()));
}

}  // namespace
}  // namespace sidelb::control
