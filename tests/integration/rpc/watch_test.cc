// Watch over its socket, as a client sees it.
#include <gmock/gmock.h>

#include <set>
#include <thread>

#include "fmt/format.h"
#include "tests/integration/rpc/watch_client.h"

namespace sidelb::rpc {
namespace {

using grpc::StatusCode;
using ::testing::UnorderedElementsAre;

class WatchTest : public ::testing::Test {
 protected:
  uint64_t Apply(const pb::ApplyRequest& request) {
    pb::ApplyResponse response;
    const grpc::Status status = client_.Apply(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.revision();
  }

  TempFolder folder_;
  ControlDaemon daemon_{UnixEndpoint(folder_ / "control.sock")};
  TestClient client_{daemon_.rpc().endpoint()};
};

TEST_F(WatchTest, ASnapshotThenAHeartbeatWithItsDigest) {
  pb::ApplyRequest request = PutPool("web");
  AddBackend(&request, "web", "10.0.0.1:80");
  const uint64_t revision = Apply(request);
  Stream stream(client_);
  View view;
  const auto snapshot = stream.Next();
  ASSERT_TRUE(snapshot);
  EXPECT_TRUE(snapshot->snapshot().last());
  EXPECT_EQ(snapshot->revision(), revision);
  EXPECT_EQ(snapshot->epoch(), "epoch-1");
  view.Apply(*snapshot);
  EXPECT_THAT(view.Keys(), UnorderedElementsAre("pool//web", "backend/web/10.0.0.1:80"));
  const auto heartbeat = stream.Next();
  ASSERT_TRUE(heartbeat && heartbeat->has_heartbeat());
  EXPECT_EQ(heartbeat->heartbeat().config_digest(), view.Digest());
  EXPECT_EQ(heartbeat->position(), view.position);
}

TEST_F(WatchTest, AnEmptyDaemonGivesAnEmptySnapshot) {
  Stream stream(client_);
  const auto snapshot = stream.Next();
  ASSERT_TRUE(snapshot);
  EXPECT_TRUE(snapshot->snapshot().last());
  EXPECT_EQ(snapshot->position(), 0u);
  EXPECT_EQ(stream.Next()->heartbeat().config_digest(), 0u);
}

TEST_F(WatchTest, EventsNameTheActorAndWhatHasGone) {
  Apply(PutPool("web"));
  Stream stream(client_);
  stream.NextChange();
  pb::ApplyRequest request;
  AddBackend(&request, "web", "10.0.0.1:80");
  request.set_owner("api:deploy");
  const uint64_t revision = Apply(request);
  const pb::WatchResponse added = stream.NextChange();
  EXPECT_EQ(added.revision(), revision);
  EXPECT_EQ(added.events().actor(), "api:deploy");
  EXPECT_FALSE(added.events().more());
  ASSERT_EQ(added.events().events_size(), 2);
  EXPECT_EQ(added.events().events(1).backend().address(), "10.0.0.1:80");
  EXPECT_EQ(added.events().events(1).backend().status().state(), pb::BACKEND_STATE_SERVING);

  pb::ApplyRequest removal;
  removal.set_owner("api:deploy");
  RemoveBackend(&removal, "web", "10.0.0.1:80");
  Apply(removal);
  std::vector<pb::Event> seen;
  while (seen.empty() || seen.back().kind() != pb::EVENT_KIND_REMOVED) {
    const pb::WatchResponse response = stream.NextChange();
    ASSERT_TRUE(response.has_events());
    seen.assign(response.events().events().begin(), response.events().events().end());
  }
  EXPECT_EQ(seen.back().backend().address(), "10.0.0.1:80");
}

TEST_F(WatchTest, ResumesWithTheTailAlone) {
  Apply(PutPool("web"));
  View view;
  {
    Stream stream(client_);
    ASSERT_TRUE(stream.ReadUntil(&view, 0));
  }
  pb::ApplyRequest request;
  AddBackend(&request, "web", "10.0.0.1:80");
  const uint64_t revision = Apply(request);
  Stream stream(client_, ResumeFrom(view));
  const auto first = stream.Next();
  ASSERT_TRUE(first && first->has_events());
  view.Apply(*first);
  EXPECT_EQ(view.revision, revision);
  EXPECT_TRUE(stream.Converges(&view, revision));
  EXPECT_THAT(view.Keys(), UnorderedElementsAre("pool//web", "backend/web/10.0.0.1:80"));
}

TEST_F(WatchTest, ResumesFromTheVeryBeginning) {
  View view;
  view.epoch = "epoch-1";
  const uint64_t revision = Apply(PutPool("web"));
  Stream stream(client_, ResumeFrom(view));
  EXPECT_TRUE(stream.Converges(&view, revision));
  EXPECT_THAT(view.Keys(), UnorderedElementsAre("pool//web"));
}

TEST_F(WatchTest, AnotherEpochGetsResyncAndASnapshot) {
  Apply(PutPool("web"));
  View view;
  view.epoch = "of an earlier life";
  view.position = 4'711;
  Stream stream(client_, ResumeFrom(view));
  const auto resync = stream.Next();
  ASSERT_TRUE(resync && resync->has_resync());
  EXPECT_EQ(resync->resync().reason(), pb::RESYNC_REASON_NEW_EPOCH);
  EXPECT_TRUE(stream.Next()->snapshot().last());
}

TEST_F(WatchTest, APositionOfTheFutureIsAnErrorNotAWait) {
  View view;
  view.epoch = "epoch-1";
  view.position = 99;
  Stream stream(client_, ResumeFrom(view));
  EXPECT_FALSE(stream.Next());
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(DetailsOf(stream.Finish()).reason, "FUTURE_POSITION");
}

TEST_F(WatchTest, WithoutASnapshotItBeginsNow) {
  Apply(PutPool("web"));
  pb::WatchRequest request;
  request.set_skip_snapshot(true);
  Stream stream(client_, request);
  const auto first = stream.Next();
  ASSERT_TRUE(first && first->has_heartbeat());
  EXPECT_GT(first->position(), 0u);
  Apply(PutPool("api"));
  EXPECT_EQ(stream.NextChange().events().events(0).pool().name(), "api");
}

TEST_F(WatchTest, AWatchMayBeginWhereAReadEnded) {
  Apply(PutPool("web"));
  const pb::GetStateResponse read = client_.State();
  Apply(PutPool("api"));
  pb::WatchRequest request;
  request.set_resume_epoch(read.epoch());
  request.set_resume_position(read.position());
  Stream stream(client_, request);
  const pb::WatchResponse change = stream.NextChange();
  ASSERT_EQ(change.events().events_size(), 1);
  EXPECT_EQ(change.events().events(0).pool().name(), "api");
}

TEST_F(WatchTest, HeartbeatsComeWhileNothingHappens) {
  Stream stream(client_, EverySecond());
  ASSERT_TRUE(stream.Next()->has_snapshot());
  const auto first = stream.Next(), second = stream.Next();
  ASSERT_TRUE(first->has_heartbeat() && second->has_heartbeat());
  EXPECT_EQ(first->heartbeat().config_digest(), second->heartbeat().config_digest());
}

TEST_F(WatchTest, AFilterHasItsOwnDigest) {
  pb::ApplyRequest request = PutPool("web");
  *request.add_ops() = PutPool("api").ops(0);
  AddBackend(&request, "web", "10.0.0.1:80");
  AddBackend(&request, "api", "10.0.0.2:80");
  Apply(request);
  pb::WatchRequest only_web = EverySecond();
  only_web.mutable_filter()->add_pools("web");
  Stream stream(client_, only_web);
  View view;
  EXPECT_TRUE(stream.Converges(&view, 0));
  pb::ApplyRequest more;
  AddBackend(&more, "api", "10.0.0.3:80");
  AddBackend(&more, "web", "10.0.0.4:80");
  EXPECT_TRUE(stream.Converges(&view, Apply(more)));
  EXPECT_THAT(view.Keys(), UnorderedElementsAre("pool//web", "backend/web/10.0.0.1:80",
                                                "backend/web/10.0.0.4:80"));
}

TEST_F(WatchTest, TheViewConfigHasNoStatus) {
  pb::WatchRequest config = EverySecond();
  config.set_view(pb::VIEW_CONFIG);
  Stream stream(client_, config);
  View view;
  stream.ReadUntil(&view, 0);
  pb::ApplyRequest request = PutPool("web");
  AddBackend(&request, "web", "10.0.0.1:80");
  Apply(request);
  const pb::WatchResponse change = stream.NextChange();
  ASSERT_EQ(change.events().events_size(), 2);
  EXPECT_FALSE(change.events().events(0).pool().has_status());
  EXPECT_FALSE(change.events().events(1).backend().has_status());
  EXPECT_FALSE(change.events().events(1).backend().has_effective());
}

TEST_F(WatchTest, ABigStateComesInChunksOfOnePosition) {
  pb::ApplyRequest request = PutPool("web");
  auto* set = request.add_ops()->mutable_upsert_backends();
  set->set_pool("web");
  for (int i = 0; i < 2'000; ++i) {
    auto* backend = set->add_backends();
    backend->set_address(fmt::format("10.0.{}.{}:80", i / 250, 1 + i % 250));
    for (int tag = 0; tag < 4; ++tag) {
      (*backend->mutable_tags())[fmt::format("tag-{}", tag)] = std::string(200, 'x');
    }
  }
  const uint64_t revision = Apply(request);
  Stream stream(client_, EverySecond());
  View view;
  std::set<uint64_t> positions;
  int chunks = 0;
  while (!view.is_complete()) {
    const auto response = stream.Next();
    ASSERT_TRUE(response && response->has_snapshot());
    EXPECT_LE(response->ByteSizeLong(), 1'100'000u);
    EXPECT_EQ(response->revision(), revision);
    positions.insert(response->position());
    ++chunks;
    view.Apply(*response);
  }
  EXPECT_GE(chunks, 4);
  EXPECT_EQ(positions.size(), 1u);
  EXPECT_TRUE(stream.Converges(&view, revision));

  // One change of all of them goes on in several messages; a client that ends between them resumes.
  for (auto& backend : *set->mutable_backends()) backend.set_weight(7);
  const uint64_t changed = Apply(request);
  const pb::WatchResponse part = stream.NextChange();
  ASSERT_TRUE(part.has_events());
  EXPECT_TRUE(part.events().more());
  EXPECT_EQ(part.revision(), changed);
  view.Apply(part);
  Stream resumed(client_, ResumeFrom(view));
  EXPECT_TRUE(resumed.Converges(&view, changed));
}

TEST_F(WatchTest, WrongRequestsNameTheField) {
  pb::WatchRequest often;
  often.mutable_heartbeat_interval()->set_nanos(1'000'000);
  pb::WatchRequest no_epoch;
  no_epoch.set_resume_position(3);
  pb::WatchRequest no_address;
  no_address.mutable_filter()->mutable_backends()->add_addresses("nowhere");
  const std::map<std::string, pb::WatchRequest> wrong = {
      {"heartbeat_interval", often},
      {"resume_epoch", no_epoch},
      {"filter.backends.addresses[0]", no_address}};
  for (const auto& [field, request] : wrong) {
    Stream stream(client_, request);
    EXPECT_FALSE(stream.Next());
    EXPECT_EQ(stream.Finish().error_code(), StatusCode::INVALID_ARGUMENT) << field;
    EXPECT_THAT(DetailsOf(stream.Finish()).violations, ::testing::Contains(::testing::Key(field)));
  }
}

TEST_F(WatchTest, TheServerSaysThatItGoesAway) {
  Stream stream(client_);
  ASSERT_TRUE(stream.Next());
  std::thread stop([this] { daemon_.rpc().Stop(); });
  EXPECT_TRUE(stream.NextChange().has_going_away());
  EXPECT_FALSE(stream.Next());
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(DetailsOf(stream.Finish()).reason, "SERVER_DRAINING");
  stop.join();
}

TEST_F(WatchTest, ClientsThatGoAwayLeaveNothingBehind) {
  for (int i = 0; i < 100; ++i) {
    Stream stream(client_);
    const bool has_begun = i % 2 == 0 && stream.Next().has_value();
    EXPECT_EQ(has_begun, i % 2 == 0);
  }
  EXPECT_TRUE(client_.IsServed());
}

}  // namespace
}  // namespace sidelb::rpc
