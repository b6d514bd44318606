// WatchView: what messages make of it, its digest, its resume token.
#include "client/watch_view.h"

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace sidelb::client {
namespace {

pb::WatchResponse Message(const std::string& text) {
  pb::WatchResponse message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

constexpr char kSnapshot[] = R"(
  epoch: "e1" position: 7 revision: 812
  snapshot { last: true state {
    listeners { name: "web" revision: 812 }
    pools { name: "web" revision: 812 }
    backends { pool: "web" address: "10.0.0.5:80" revision: 812 claims { owner: "static" } } } })";

// The numbers come from another implementation of the definition in the header.
TEST(WatchDigestTest, IsTheOneThatTheDefinitionGives) {
  EXPECT_EQ(Fnv1a64(""), 0xcbf29ce484222325u);
  EXPECT_EQ(Fnv1a64("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(Fnv1a64("foobar"), 0x85944171f73967e8u);
  EXPECT_EQ(Fnv1a64("listener//web@812"), 0x6e189e75d41c4828u);
  EXPECT_EQ(Fnv1a64("pool//web@812"), 0x6fb69f8c099aedfau);
  EXPECT_EQ(Fnv1a64("backend/web/10.0.0.5:80@812"), 0x0fa964e0c80b41fcu);
  pb::Backend backend;
  backend.set_pool("web");
  backend.set_address("[2001:db8::5]:80");
  backend.set_revision(UINT64_MAX);
  backend.add_claims();
  EXPECT_EQ(DigestOf(backend), 0xd2848258532da1f8u);

  WatchView view;
  EXPECT_EQ(view.digest(), 0u);
  view.Apply(Message(kSnapshot));

  EXPECT_EQ(view.digest(), 0xed78a2e2a5c2781eu);
}

TEST(WatchDigestTest, CountsConfigurationOnly) {
  WatchView view;
  view.Apply(Message(kSnapshot));

  view.Apply(Message(R"(epoch: "e1" position: 8 revision: 812 events {
    events { kind: EVENT_KIND_PUT backend { pool: "web" address: "10.0.0.5:80" revision: 812
             claims { owner: "static" } status { state: BACKEND_STATE_UNHEALTHY } } }
    events { kind: EVENT_KIND_PUT backend { pool: "web" address: "10.0.0.6:80" revision: 812
             status { state: BACKEND_STATE_REMOVING } } } })"));

  EXPECT_EQ(view.digest(), 0xed78a2e2a5c2781eu);
  EXPECT_EQ(view.backends().size(), 2u);
}

TEST(WatchDigestTest, FollowsEveryChange) {
  WatchView view;
  view.Apply(Message(kSnapshot));

  view.Apply(Message(R"(epoch: "e1" position: 8 revision: 813 events {
    events { kind: EVENT_KIND_PUT pool { name: "web" revision: 813 } }
    events { kind: EVENT_KIND_REMOVED listener { name: "web" } }
    events { kind: EVENT_KIND_REMOVED backend { pool: "web" address: "10.0.0.5:80" } } })"));

  EXPECT_EQ(view.digest(), Fnv1a64("pool//web@813"));
  view.Apply(Message(R"(epoch: "e1" position: 9 revision: 814 events {
    events { kind: EVENT_KIND_REMOVED pool { name: "web" } } })"));
  EXPECT_EQ(view.digest(), 0u);
}

TEST(WatchViewTest, TellsWhatWasThereBefore) {
  WatchView view;
  view.Apply(Message(kSnapshot));

  const auto changes = view.Apply(Message(R"(epoch: "e1" position: 8 revision: 813 events {
    events { kind: EVENT_KIND_PUT pool { name: "web" revision: 813 } }
    events { kind: EVENT_KIND_PUT pool { name: "new" revision: 813 } }
    events { kind: EVENT_KIND_REMOVED listener { name: "web" } } })"));

  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].before->pool().revision(), 812u);
  EXPECT_EQ(changes[0].event.pool().revision(), 813u);
  EXPECT_FALSE(changes[1].before);
  EXPECT_EQ(changes[2].before->listener().revision(), 812u);
  EXPECT_EQ(view.revision(), 813u);
}

TEST(WatchViewTest, KeepsTheOldObjectsUntilASnapshotIsWhole) {
  WatchView view;
  view.Apply(Message(kSnapshot));

  view.Apply(Message(R"(epoch: "e2" position: 1 resync { reason: RESYNC_REASON_NEW_EPOCH })"));
  view.Apply(Message(R"(epoch: "e2" position: 1 revision: 9 snapshot {
    state { pools { name: "a" revision: 9 } } })"));

  EXPECT_EQ(view.pools().count("web"), 1u);
  EXPECT_FALSE(view.is_complete());
  EXPECT_FALSE(view.token());

  view.Apply(Message(R"(epoch: "e2" position: 1 revision: 9 snapshot { last: true
    state { pools { name: "b" revision: 9 } } })"));

  EXPECT_EQ(view.pools().size(), 2u);
  EXPECT_EQ(view.listeners().size(), 0u);
  EXPECT_TRUE(view.is_complete());
  EXPECT_EQ(view.digest(), Fnv1a64("pool//a@9") + Fnv1a64("pool//b@9"));
  EXPECT_EQ(view.token(), (ResumeToken{"e2", 1}));
}

TEST(WatchViewTest, ForgetsASnapshotThatBrokeOff) {
  WatchView view;
  view.Apply(Message(R"(epoch: "e1" position: 1 snapshot { state { pools { name: "old" } } })"));

  view.ExpectSnapshot();
  view.Apply(Message(kSnapshot));

  EXPECT_EQ(view.pools().count("old"), 0u);
  EXPECT_EQ(view.digest(), 0xed78a2e2a5c2781eu);
}

TEST(WatchViewTest, HasATokenWithoutASnapshotWhenTheStreamWasResumed) {
  WatchView view;
  EXPECT_FALSE(view.token());

  view.Apply(Message(R"(epoch: "e1" position: 8 revision: 813 events {
    events { kind: EVENT_KIND_PUT pool { name: "web" } } })"));

  EXPECT_EQ(view.token(), (ResumeToken{"e1", 8}));
  EXPECT_FALSE(view.is_complete());
}

TEST(ResumeTokenTest, IsReadAsItIsWritten) {
  EXPECT_EQ((ResumeToken{"e1", 9021}).ToString(), "e1/9021");
  EXPECT_EQ(ParseResumeToken("e1/9021"), (ResumeToken{"e1", 9021}));
  EXPECT_EQ(ParseResumeToken("a/b/0"), (ResumeToken{"a/b", 0}));
  for (const char* bad : {"", "e1", "/7", "e1/", "e1/x", "e1/-1", "e1/99999999999999999999"}) {
    EXPECT_FALSE(ParseResumeToken(bad)) << bad;
  }
}

}  // namespace
}  // namespace sidelb::client
