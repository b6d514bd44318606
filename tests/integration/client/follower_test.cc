// Streams of the client library, and the Follower over them, against scripted streams.
#include "client/follower.h"

#include <future>
#include <thread>

#include "absl/time/clock.h"
#include "client/sidelb_client.h"
#include "gmock/gmock.h"
#include "tests/integration/client/watch_daemon.h"

namespace sidelb::client {
namespace {

using Kind = Follower::Step::Kind;

constexpr absl::Duration kLimit = absl::Seconds(20);
constexpr char kBeginning[] = R"(epoch: "e1" position: 5 revision: 812
    snapshot { last: true state { pools { name: "web" revision: 812 } } })";

std::string HeartbeatWith(const std::string& place, uint64_t digest) {
  return place + " heartbeat { config_digest: " + std::to_string(digest) + " }";
}

class FollowerTest : public testing::Test {
 protected:
  Follower MakeFollower(const pb::WatchRequest& request = {}) {
    return Follower(request,
                    {.open = [this](const pb::WatchRequest& next) { return client_.Watch(next); },
                     .min_backoff = absl::Milliseconds(1),
                     .max_backoff = absl::Milliseconds(20)});
  }
  static Follower::Step Next(Follower* follower) { return follower->Next(absl::Now() + kLimit); }
  // The next step that is not a failed attempt.
  static Follower::Step NextMessage(Follower* follower) {
    Follower::Step step = Next(follower);
    while (step.kind == Kind::kLost) step = Next(follower);
    return step;
  }

  WatchDaemon daemon_;
  Client client_{daemon_.endpoint(), {}};
};

TEST_F(FollowerTest, ReadsWithADeadlineAndGoesOnAfterIt) {
  std::promise<void> may_send;
  daemon_.AddStream([&](const pb::WatchRequest&, WatchDaemon::Writer* writer) {
    may_send.get_future().wait();
    writer->Write(Message(kBeginning));
    daemon_.WaitForStop();
    return grpc::Status::OK;
  });
  const auto stream = client_.Watch({});

  const auto nothing = stream->Next(absl::Now() + absl::Milliseconds(20));
  may_send.set_value();
  const auto message = stream->Next(absl::Now() + kLimit);

  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_FALSE(*nothing);
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ((**message).revision(), 812u);
}

TEST_F(FollowerTest, EndsABlockedStreamFromAnotherThread) {
  const auto stream = client_.Watch({});
  std::thread other([&] {
    daemon_.Request(0);
    stream->Cancel();
  });

  const auto end = stream->Next(absl::InfiniteFuture());
  other.join();

  EXPECT_TRUE(absl::IsCancelled(end.status())) << end.status();
  EXPECT_TRUE(absl::IsCancelled(stream->Next(absl::InfiniteFuture()).status()));
}

TEST_F(FollowerTest, ResumesWhereTheStreamBroke) {
  daemon_.AddBreakingStream({kBeginning});
  daemon_.AddStream(std::vector<std::string>{R"(epoch: "e1" position: 6 revision: 813
      events { events { kind: EVENT_KIND_PUT pool { name: "api" revision: 813 } } })"});
  pb::WatchRequest request;
  request.mutable_filter()->add_kinds(pb::OBJECT_KIND_POOL);
  Follower follower = MakeFollower(request);

  EXPECT_EQ(Next(&follower).kind, Kind::kMessage);
  const Follower::Step lost = Next(&follower);
  const Follower::Step resumed = NextMessage(&follower);

  EXPECT_EQ(lost.kind, Kind::kLost);
  EXPECT_GT(lost.retry_in, absl::ZeroDuration());
  EXPECT_EQ(resumed.kind, Kind::kMessage);
  EXPECT_TRUE(resumed.is_reconnected);
  EXPECT_EQ(follower.view().pools().size(), 2u);
  EXPECT_EQ(daemon_.Request(0).resume_epoch(), "");
  EXPECT_EQ(daemon_.Request(1).resume_epoch(), "e1");
  EXPECT_EQ(daemon_.Request(1).resume_position(), 5u);
  EXPECT_EQ(daemon_.Request(1).filter().kinds_size(), 1);
}

TEST_F(FollowerTest, BeginsAnewWhenASnapshotBrokeOff) {
  daemon_.AddBreakingStream({R"(epoch: "e1" position: 5 snapshot { state { } })"});
  daemon_.AddStream(std::vector<std::string>{kBeginning});
  Follower follower = MakeFollower();

  EXPECT_EQ(Next(&follower).kind, Kind::kMessage);
  EXPECT_EQ(NextMessage(&follower).kind, Kind::kMessage);

  EXPECT_EQ(daemon_.Request(1).resume_epoch(), "");
  EXPECT_EQ(follower.view().pools().size(), 1u);
}

TEST_F(FollowerTest, FindsARestartedDaemon) {
  daemon_.AddStream(std::vector<std::string>{kBeginning});
  daemon_.AddStream(std::vector<std::string>{
      R"(epoch: "e2" position: 1 resync { reason: RESYNC_REASON_NEW_EPOCH })",
      R"(epoch: "e2" position: 1 revision: 900 snapshot { last: true })"});
  Follower follower = MakeFollower();
  EXPECT_EQ(Next(&follower).kind, Kind::kMessage);

  daemon_.Stop();
  EXPECT_EQ(Next(&follower).kind, Kind::kLost);
  daemon_.Start();
  const Follower::Step resync = NextMessage(&follower);
  Next(&follower);

  EXPECT_EQ(resync.message.resync().reason(), pb::RESYNC_REASON_NEW_EPOCH);
  EXPECT_EQ(daemon_.Request(1).resume_position(), 5u);
  EXPECT_EQ(follower.view().revision(), 900u);
  EXPECT_TRUE(follower.view().pools().empty());
}

TEST_F(FollowerTest, FetchesAnewWhatTheDigestDisproves) {
  const std::string place = R"(epoch: "e1" position: 5 revision: 812)";
  daemon_.AddStream(
      {kBeginning, HeartbeatWith(place, Fnv1a64("pool//web@812")), HeartbeatWith(place, 1)});
  daemon_.AddStream(
      std::vector<std::string>{R"(epoch: "e1" position: 5 revision: 812 snapshot { last: true })"});
  Follower follower = MakeFollower();

  EXPECT_EQ(Next(&follower).kind, Kind::kMessage);
  EXPECT_EQ(Next(&follower).kind, Kind::kMessage);
  const Follower::Step diverged = Next(&follower);
  const Follower::Step renewed = NextMessage(&follower);

  EXPECT_EQ(diverged.kind, Kind::kDiverged);
  EXPECT_THAT(std::string(diverged.status.message()), testing::HasSubstr("0000000000000001"));
  EXPECT_EQ(renewed.kind, Kind::kMessage);
  EXPECT_EQ(daemon_.Request(1).resume_epoch(), "");
  EXPECT_TRUE(follower.view().pools().empty());
}

TEST_F(FollowerTest, DoesNotCompareWhileEventsWaitOrTheFilterHasNoDigest) {
  const std::string late = R"(epoch: "e1" position: 5 revision: 812
      heartbeat { config_digest: 1 queued_events: 3 })";
  daemon_.AddStream({kBeginning, late});
  daemon_.AddStream({kBeginning, HeartbeatWith(R"(epoch: "e1" position: 5 revision: 812)", 0)});
  pb::WatchRequest by_state;
  by_state.mutable_filter()->add_states(pb::BACKEND_STATE_SERVING);
  Follower busy = MakeFollower();
  Next(&busy);
  const Follower::Step busy_heartbeat = Next(&busy);
  Follower filtered = MakeFollower(by_state);
  Next(&filtered);

  EXPECT_EQ(busy_heartbeat.kind, Kind::kMessage);
  EXPECT_EQ(Next(&filtered).kind, Kind::kMessage);
}

TEST_F(FollowerTest, TakesSilenceForABrokenConnection) {
  daemon_.AddStream(std::vector<std::string>{kBeginning});
  daemon_.AddStream(
      std::vector<std::string>{R"(epoch: "e1" position: 5 revision: 812 heartbeat { })"});
  pb::WatchRequest request;
  request.mutable_heartbeat_interval()->set_nanos(400'000'000);
  Follower follower = MakeFollower(request);
  EXPECT_EQ(Next(&follower).kind, Kind::kMessage);

  const Follower::Step lost = Next(&follower);

  EXPECT_EQ(lost.kind, Kind::kLost);
  EXPECT_THAT(std::string(lost.status.message()), testing::HasSubstr("no message came for 1.2s"));
}

TEST_F(FollowerTest, FailsAtOnceWhenThereWasNeverADaemonOrItRefuses) {
  daemon_.AddStream([](const pb::WatchRequest&, WatchDaemon::Writer* writer) {
    writer->Write(Message(kBeginning));
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no such filter");
  });
  Follower refused = MakeFollower();
  EXPECT_EQ(Next(&refused).kind, Kind::kMessage);
  const Follower::Step end = Next(&refused);
  EXPECT_EQ(end.kind, Kind::kFailed);
  EXPECT_TRUE(absl::IsInvalidArgument(end.status));

  daemon_.Stop();
  Follower never = MakeFollower();
  const Follower::Step unreachable = Next(&never);

  EXPECT_EQ(unreachable.kind, Kind::kFailed);
  EXPECT_TRUE(absl::IsUnavailable(unreachable.status)) << unreachable.status;
}

TEST_F(FollowerTest, ForgetsAPlaceThatTheDaemonDoesNotKnow) {
  daemon_.AddBreakingStream({kBeginning});
  daemon_.AddStream([](const pb::WatchRequest&, WatchDaemon::Writer*) {
    return grpc::Status(grpc::StatusCode::OUT_OF_RANGE, "position 5 is in the future");
  });
  daemon_.AddStream(std::vector<std::string>{kBeginning});
  Follower follower = MakeFollower();
  EXPECT_EQ(Next(&follower).kind, Kind::kMessage);

  EXPECT_EQ(NextMessage(&follower).kind, Kind::kMessage);

  EXPECT_EQ(daemon_.Request(1).resume_position(), 5u);
  EXPECT_EQ(daemon_.Request(2).resume_epoch(), "");
}

TEST_F(FollowerTest, IsCancelledWhileItWaitsToTryAgain) {
  daemon_.AddBreakingStream({kBeginning});
  Follower follower({},
                    {.open = [this](const pb::WatchRequest& next) { return client_.Watch(next); },
                     .min_backoff = absl::Hours(1),
                     .max_backoff = absl::Hours(1)});
  EXPECT_EQ(Next(&follower).kind, Kind::kMessage);
  EXPECT_EQ(Next(&follower).kind, Kind::kLost);
  std::thread other([&] { follower.Cancel(); });

  const Follower::Step step = follower.Next(absl::InfiniteFuture());
  other.join();

  EXPECT_EQ(step.kind, Kind::kCancelled);
}

TEST_F(FollowerTest, ResumesFromATokenOfTheCaller) {
  daemon_.AddStream(std::vector<std::string>{
      R"(epoch: "e1" position: 6 revision: 813
         events { events { kind: EVENT_KIND_PUT pool { name: "api" revision: 813 } } })",
      HeartbeatWith(R"(epoch: "e1" position: 6 revision: 813)", 1)});
  pb::WatchRequest request;
  request.set_resume_epoch("e1");
  request.set_resume_position(5);
  Follower follower = MakeFollower(request);

  EXPECT_EQ(Next(&follower).changes.size(), 1u);
  // The view is not all that there is, so that its digest proves nothing.
  EXPECT_EQ(Next(&follower).kind, Kind::kMessage);
  EXPECT_EQ(daemon_.Request(0).resume_position(), 5u);
  EXPECT_EQ(follower.token(), (ResumeToken{"e1", 6}));
}

}  // namespace
}  // namespace sidelb::client
