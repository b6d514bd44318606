// Watches at their limits: too many, too slow, too far behind.
#include <gmock/gmock.h>

#include <random>
#include <thread>

#include "fmt/format.h"
#include "server/rpc/control_service.h"
#include "tests/integration/rpc/watch_client.h"

namespace sidelb::rpc {
namespace {

using grpc::StatusCode;
using std::chrono::milliseconds;

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
  // How often it falls off depends on the machine.
  TestClient client = Serve({.max_overflows = 1'000, .between_events = milliseconds(0)});
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
  ASSERT_TRUE(digest.has_value()) << stream.Finish().error_message();
  EXPECT_EQ(*digest, view.Digest());
}

TEST_F(LimitedWatchTest, AClientThatFallsOffTooOftenIsEnded) {
  TestClient client = Serve({.max_overflows = 1, .between_events = milliseconds(0)});
  ChangeMuch(client, 1);
  Stream stream(client, EverySecond());
  // The snapshot is more than the client's window takes: until it reads, nothing follows it, not
  // even the heartbeat that is due at the beginning.
  while (service_->watch_count() == 0) std::this_thread::yield();
  for (uint32_t i = 2; i <= 10; ++i) ChangeMuch(client, i);
  while (stream.Next()) {
  }
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailsOf(stream.Finish()).reason, "SLOW_CONSUMER");
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
