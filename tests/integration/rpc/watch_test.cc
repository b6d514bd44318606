// Watch over its socket, as a client sees it.
#include <gmock/gmock.h>

#include <map>
#include <optional>
#include <random>
#include <thread>

#include "fmt/format.h"
#include "server/rpc/control_service.h"
#include "tests/integration/rpc/control_daemon.h"
#include "tests/support/tcp.h"

namespace sidelb::rpc {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;
using Payload = pb::WatchResponse::PayloadCase;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

pb::ApplyRequest PutPool(const std::string& name) {
  pb::ApplyRequest request;
  auto* pool = request.add_ops()->mutable_put_pool();
  pool->set_name(name);
  pool->mutable_health_check()->set_kind(pb::PROBE_KIND_NONE);
  return request;
}

pb::BackendSpec* AddBackend(pb::ApplyRequest* request, const std::string& pool,
                            const std::string& address) {
  auto* set = request->add_ops()->mutable_upsert_backends();
  set->set_pool(pool);
  auto* backend = set->add_backends();
  backend->set_address(address);
  return backend;
}

void RemoveBackend(pb::ApplyRequest* request, const std::string& pool, const std::string& address) {
  auto* remove = request->add_ops()->mutable_remove_backends();
  remove->set_pool(pool);
  remove->add_addresses(address);
}

// The digest as docs/control-api.md gives it, written a second time.
uint64_t Fnv(const std::string& text) {
  uint64_t hash = 14695981039346656037u;
  for (const unsigned char c : text) hash = (hash ^ c) * 1099511628211u;
  return hash;
}

// What a client knows by its watch: revisions by "kind/pool/key".
class View {
 public:
  void Apply(const pb::WatchResponse& response) {
    if (response.has_resync()) is_complete_ = false;
    if (response.has_snapshot()) Apply(response.snapshot());
    for (const pb::Event& event : response.events().events()) {
      if (event.kind() == pb::EVENT_KIND_REMOVED) {
        objects_.erase(KeyOf(event));
      } else {
        Put(event);
      }
    }
    epoch = response.epoch();
    position = response.position();
    revision = response.revision();
  }
  uint64_t Digest() const {
    uint64_t digest = 0;
    for (const auto& [key, object] : objects_) {
      if (object.is_configured) digest += Fnv(fmt::format("{}@{}", key, object.revision));
    }
    return digest;
  }
  std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    for (const auto& [key, object] : objects_) keys.push_back(key);
    return keys;
  }
  bool is_complete() const { return is_complete_; }
  void Clear() { *this = View(); }

  std::string epoch;
  uint64_t position = 0;
  uint64_t revision = 0;

 private:
  struct Object {
    uint64_t revision = 0;
    bool is_configured = true;
  };
  static std::string KeyOf(const pb::Event& event) {
    if (event.has_listener()) return "listener//" + event.listener().name();
    if (event.has_pool()) return "pool//" + event.pool().name();
    return fmt::format("backend/{}/{}", event.backend().pool(), event.backend().address());
  }
  void Put(const pb::Event& event) {
    if (event.has_listener()) objects_[KeyOf(event)] = {event.listener().revision()};
    if (event.has_pool()) objects_[KeyOf(event)] = {event.pool().revision()};
    if (event.has_backend()) {
      objects_[KeyOf(event)] = {event.backend().revision(), event.backend().claims_size() > 0};
    }
  }
  void Apply(const pb::Snapshot& snapshot) {
    if (!in_snapshot_) objects_.clear();
    in_snapshot_ = !snapshot.last();
    if (snapshot.last()) is_complete_ = true;
    pb::Event event;
    for (const auto& listener : snapshot.state().listeners()) {
      *event.mutable_listener() = listener;
      Put(event);
    }
    for (const auto& pool : snapshot.state().pools()) {
      *event.mutable_pool() = pool;
      Put(event);
    }
    for (const auto& backend : snapshot.state().backends()) {
      *event.mutable_backend() = backend;
      Put(event);
    }
  }

  std::map<std::string, Object> objects_;
  bool in_snapshot_ = false;
  bool is_complete_ = false;
};

// One open stream.
class Stream {
 public:
  explicit Stream(TestClient& client, const pb::WatchRequest& request = {}) {
    context_.set_deadline(std::chrono::system_clock::now() + TestClient::kLimit);
    reader_ = client.stub().Watch(&context_, request);
  }
  ~Stream() {
    context_.TryCancel();
    Finish();
  }

  // The next message; nullopt at the end.
  std::optional<pb::WatchResponse> Next() {
    pb::WatchResponse response;
    if (!reader_->Read(&response)) return std::nullopt;
    return response;
  }
  // The next one that is no heartbeat.
  pb::WatchResponse NextChange() {
    while (auto response = Next()) {
      if (!response->has_heartbeat()) return *response;
    }
    return {};
  }
  // Reads into `view` until a heartbeat at or after `revision`, and returns its digest.
  std::optional<uint64_t> ReadUntil(View* view, uint64_t revision) {
    while (auto response = Next()) {
      view->Apply(*response);
      if (response->has_heartbeat() && response->revision() >= revision &&
          response->heartbeat().queued_events() == 0) {
        return response->heartbeat().config_digest();
      }
    }
    return std::nullopt;
  }
  // Whether `view`, once it is at `revision`, has the server's digest.
  bool Converges(View* view, uint64_t revision) {
    const std::optional<uint64_t> digest = ReadUntil(view, revision);
    return digest == view->Digest();
  }
  grpc::Status Finish() {
    if (!is_finished_) {
      is_finished_ = true;
      status_ = reader_->Finish();
    }
    return status_;
  }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<pb::WatchResponse>> reader_;
  bool is_finished_ = false;
  grpc::Status status_;
};

pb::WatchRequest EverySecond() {
  pb::WatchRequest request;
  request.mutable_heartbeat_interval()->set_seconds(1);
  return request;
}

pb::WatchRequest ResumeFrom(const View& view) {
  pb::WatchRequest request = EverySecond();
  request.set_resume_epoch(view.epoch);
  request.set_resume_position(view.position);
  return request;
}

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

// A service with limits of its own, on a socket of its own.
class LimitedWatchTest : public ::testing::Test {
 protected:
  LimitedWatchTest() : controller_(*control::Controller::Start({.event_log_bytes = 200'000})) {}
  ~LimitedWatchTest() override {
    if (server_ == nullptr) return;
    service_->Stop(absl::ZeroDuration());
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
    service_.reset();
  }

  TestClient Serve(WatchHub::Options options) {
    service_ =
        std::make_unique<ControlService>(controller_.get(), Identity{.epoch = "epoch-1"}, options);
    grpc::ServerBuilder builder;
    const Endpoint endpoint = UnixEndpoint(folder_ / "limited.sock");
    builder.AddListeningPort(endpoint.ToString(), grpc::InsecureServerCredentials());
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    return TestClient(endpoint);
  }
  // A change of 200 backends with 2 KB of tags each.
  static uint64_t ChangeMuch(TestClient& client, uint32_t weight) {
    pb::ApplyRequest request = PutPool("web");
    auto* set = request.add_ops()->mutable_upsert_backends();
    set->set_pool("web");
    for (int i = 1; i <= 200; ++i) {
      auto* backend = set->add_backends();
      backend->set_address(fmt::format("10.0.0.{}:80", i));
      backend->set_weight(weight);
      for (int tag = 0; tag < 10; ++tag) {
        (*backend->mutable_tags())[fmt::format("tag-{}", tag)] = std::string(200, 'x');
      }
    }
    pb::ApplyResponse response;
    EXPECT_TRUE(client.Apply(request, &response).ok());
    return response.revision();
  }

  TempFolder folder_;
  std::unique_ptr<control::Controller> controller_;
  std::unique_ptr<ControlService> service_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(LimitedWatchTest, OneWatchTooManyIsRefused) {
  TestClient client = Serve({.max_watches = 2});
  Stream first(client), second(client);
  ASSERT_TRUE(first.Next() && second.Next());
  Stream third(client);
  EXPECT_FALSE(third.Next());
  EXPECT_EQ(third.Finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailsOf(third.Finish()).reason, "TOO_MANY_WATCHES");
}

TEST_F(LimitedWatchTest, APositionThatIsNotKeptGetsResync) {
  TestClient client = Serve({});
  View view;
  {
    Stream stream(client, EverySecond());
    ASSERT_TRUE(stream.ReadUntil(&view, 0));
  }
  uint64_t revision = 0;
  for (uint32_t i = 1; i <= 5; ++i) revision = ChangeMuch(client, i);
  Stream stream(client, ResumeFrom(view));
  const auto resync = stream.Next();
  ASSERT_TRUE(resync && resync->has_resync());
  EXPECT_EQ(resync->resync().reason(), pb::RESYNC_REASON_TOO_OLD);
  EXPECT_GT(resync->resync().oldest_position(), 0u);
  view.Apply(*resync);
  EXPECT_TRUE(stream.Converges(&view, revision));
}

// It does not read for a while, falls off the log, and reads on.
TEST_F(LimitedWatchTest, ASlowClientIsResynchronised) {
  TestClient client = Serve({.between_events = milliseconds(0)});
  ChangeMuch(client, 1);
  Stream stream(client, EverySecond());
  View view;
  ASSERT_TRUE(stream.ReadUntil(&view, 0));
  uint64_t revision = 0;
  // More than the client's window takes, so that writes are held up.
  for (uint32_t i = 2; i <= 60; ++i) revision = ChangeMuch(client, i);
  bool was_resynchronised = false;
  std::optional<uint64_t> digest;
  while (auto response = stream.Next()) {
    was_resynchronised = was_resynchronised || response->has_resync();
    if (response->has_resync()) {
      EXPECT_EQ(response->resync().reason(), pb::RESYNC_REASON_SLOW_CONSUMER);
    }
    view.Apply(*response);
    if (response->has_heartbeat() && response->revision() == revision) {
      digest = response->heartbeat().config_digest();
      break;
    }
  }
  EXPECT_TRUE(was_resynchronised);
  EXPECT_EQ(digest, view.Digest());
}

TEST_F(LimitedWatchTest, AClientThatNeverReadsIsEnded) {
  TestClient client = Serve({.between_events = milliseconds(0), .stuck = milliseconds(200)});
  ChangeMuch(client, 1);
  Stream stream(client, EverySecond());
  ASSERT_TRUE(stream.Next());
  // The server ends the stream while changes go on; only then does the client read.
  uint32_t weight = 1;
  while (service_->watch_count() > 0) ChangeMuch(client, ++weight % 1'000);
  while (stream.Next()) {
  }
  EXPECT_FALSE(stream.Finish().ok());
}

// Clients that disconnect and stall at random always come to the server's digest.
TEST_F(LimitedWatchTest, WhateverAClientDoesItConverges) {
  TestClient client = Serve({.between_events = milliseconds(1)});
  std::minstd_rand random(11);
  const auto any = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  View view;
  auto stream = std::make_unique<Stream>(client, EverySecond());
  uint64_t revision = 0;
  for (int round = 0; round < 200; ++round) {
    pb::ApplyRequest request = PutPool(fmt::format("p{}", any(3)));
    const std::string pool = request.ops(0).put_pool().name();
    const std::string address = fmt::format("10.0.0.{}:80", 1 + any(20));
    if (any(3) == 0) {
      RemoveBackend(&request, pool, address);
    } else if (any(20) == 0) {
      request.mutable_ops(0)->mutable_remove_pool()->set_pool(pool);
      request.mutable_ops(0)->mutable_remove_pool()->set_force(true);
    } else {
      AddBackend(&request, pool, address)->set_weight(any(100));
    }
    pb::ApplyResponse response;
    ASSERT_TRUE(client.Apply(request, &response).ok());
    revision = response.revision();
    if (any(40) == 0) revision = ChangeMuch(client, any(100));  // throws off who lags
    switch (any(4)) {
      case 0:  // reads a little: what was just applied, at least
        view.Apply(*stream->Next());
        break;
      case 1:  // goes away and resumes
        stream =
            std::make_unique<Stream>(client, view.is_complete() ? ResumeFrom(view) : EverySecond());
        break;
      default:  // stalls
        break;
    }
    if (round % 50 == 49) {
      EXPECT_TRUE(stream->Converges(&view, revision)) << "round " << round;
    }
  }
  EXPECT_TRUE(stream->Converges(&view, revision));
}

}  // namespace
}  // namespace sidelb::rpc
