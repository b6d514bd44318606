// The controller with a store that answers when the test says so.
#include "server/control/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>

#include "tests/integration/control/sync_controller.h"

namespace sidelb::control {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

// Holds what it is given until the test answers.
//
// Thread safety: any thread.
class FakeStore : public Store {
 public:
  void Write(StoreGroup group, std::function<void(absl::Status)> done) override {
    std::unique_lock lock(mutex_);
    if (answers_at_once_) {
      lock.unlock();
      done(absl::OkStatus());
      return;
    }
    group_ = std::move(group);
    done_ = std::move(done);
    changed_.notify_all();
  }
  void Stop() override {}

  // The group that was given; it must be answered.
  StoreGroup Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return group_.has_value(); });
    return *std::exchange(group_, std::nullopt);
  }
  void Answer(absl::Status status = absl::OkStatus()) {
    std::unique_lock lock(mutex_);
    const auto done = std::exchange(done_, nullptr);
    lock.unlock();
    done(std::move(status));
  }
  // Also what is held now.
  void AnswerAtOnce() {
    std::unique_lock lock(mutex_);
    answers_at_once_ = true;
    group_.reset();
    const auto done = std::exchange(done_, nullptr);
    lock.unlock();
    if (done) done(absl::OkStatus());
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<StoreGroup> group_;
  std::function<void(absl::Status)> done_;
  bool answers_at_once_ = false;
};

class StoreTest : public ::testing::Test {
 protected:
  ~StoreTest() override { store_->AnswerAtOnce(); }

  static ApplyRequest WithId(std::string id, uint64_t payload, std::vector<Op> ops) {
    ApplyRequest request = Ops(std::move(ops));
    request.request_id = std::move(id);
    request.payload = payload;
    return request;
  }

  std::shared_ptr<FakeStore> store_ = std::make_shared<FakeStore>();
  SyncController sync_{Controller::Options{.shards = 2, .store = store_}};
};

TEST_F(StoreTest, NothingShowsBeforeItIsDurable) {
  const uint64_t before = sync_.GetInfo().revision;
  auto answer = sync_.Send(Ops({Pool("web")}));
  const StoreGroup group = store_->Wait();

  EXPECT_EQ(group.revision, before + 1);
  EXPECT_EQ(sync_.GetInfo().revision, before);
  EXPECT_THAT(sync_.Read()->pools, SizeIs(0));

  store_->Answer();
  EXPECT_EQ(answer.get()->revision, before + 1);
  EXPECT_THAT(sync_.Read()->pools, SizeIs(1));
  EXPECT_EQ(sync_.GetInfo().stored_revision, before + 1);
}

TEST_F(StoreTest, WhatIsCutForTheAuditStaysText) {
  store_->AnswerAtOnce();
  ApplyRequest request = Ops({Pool("web")});
  for (int i = 0; i < 200; ++i)
    request.comment += "\u8ca0";  // 3 bytes each, refused for its length
  request.caller.principal = "cn:\xff\xc3";
  EXPECT_FALSE(sync_.Apply(request).ok());
  std::promise<AuditPage> promise;
  sync_.controller().ListAudit({},
                               [&](absl::StatusOr<AuditPage> page) { promise.set_value(*page); });
  const AuditPage page = promise.get_future().get();
  ASSERT_THAT(page.entries, SizeIs(1));
  EXPECT_EQ(page.entries[0].comment.size(), 255u);  // 85 whole characters
  EXPECT_EQ(page.entries[0].principal, "cn:??");
}

TEST_F(StoreTest, WhatComesMeanwhileIsTheNextGroupOnTopOfIt) {
  auto first = sync_.Send(Ops({Pool("web")}));
  store_->Wait();
  auto second = sync_.Send(Ops({Upsert("web", {B("10.0.0.1:80")})}));
  auto third = sync_.Send(Ops({Upsert("web", {B("10.0.0.2:80")})}));
  sync_.GetInfo();  // both are accepted
  store_->Answer();
  const StoreGroup group = store_->Wait();

  EXPECT_THAT(group.backends, SizeIs(2));
  EXPECT_THAT(group.audit, SizeIs(2));
  EXPECT_EQ(group.revision, first.get()->revision + 2);
  EXPECT_THAT(sync_.Read()->backends, SizeIs(0));
  store_->Answer();
  EXPECT_EQ(second.get()->revision + 1, third.get()->revision);
  EXPECT_THAT(sync_.Read()->backends, SizeIs(2));
}

TEST_F(StoreTest, AFailedGroupDropsAllThatIsPending) {
  const uint64_t before = sync_.GetInfo().revision;
  auto first = sync_.Send(Ops({Pool("web"), Listener("http", "127.0.0.1:0", "web")}));
  store_->Wait();
  auto second = sync_.Send(Ops({Upsert("web", {B("10.0.0.1:80")})}));
  sync_.GetInfo();
  store_->Answer(absl::UnavailableError("disk full"));

  for (auto* answer : {&first, &second}) {
    const auto got = answer->get();
    EXPECT_EQ(got.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(Reason(got.status()), "STORE_UNAVAILABLE");
  }
  const Info failing = sync_.GetInfo();
  EXPECT_EQ(failing.revision, before);
  EXPECT_FALSE(failing.is_store_working);
  ASSERT_THAT(failing.conditions, SizeIs(1));
  EXPECT_EQ(failing.conditions[0].code, "STORE_FAILING");
  EXPECT_EQ(failing.conditions[0].detail, "disk full");

  auto third = sync_.Send(Ops({Pool("other")}));
  const StoreGroup group = store_->Wait();
  // What the failed group may have left is put right.
  EXPECT_EQ(group.pools.at("web"), nullptr);
  EXPECT_EQ(group.listeners.at("http"), nullptr);
  store_->Answer();
  EXPECT_EQ(third.get()->revision, before + 1);
  EXPECT_TRUE(sync_.GetInfo().is_store_working);
}

TEST_F(StoreTest, AProviderDoesNotWaitAndWhatIsPendingComesAfterIt) {
  auto pool = sync_.Send(Ops({Pool("web")}));
  store_->Wait();
  store_->Answer();
  const uint64_t revision = pool.get()->revision;
  auto pending = sync_.Send(Ops({Upsert("web", {B("10.0.0.1:80")})}));
  store_->Wait();

  const auto provider = sync_.Apply(Ops({Upsert("web", {B("10.0.0.2:80")})}, "ring:web.example"));
  EXPECT_EQ(provider->revision, revision + 1);
  EXPECT_THAT(sync_.Read()->backends, SizeIs(1));

  store_->Answer();
  EXPECT_EQ(pending.get()->revision, revision + 2);
  EXPECT_THAT(sync_.Read()->backends, SizeIs(2));
  // Its row is written anew, with the revision that it got.
  const StoreGroup group = store_->Wait();
  EXPECT_EQ(group.backends.at({"web", At("10.0.0.1:80")})->revision, revision + 2);
  EXPECT_FALSE(group.backends.contains({"web", At("10.0.0.2:80")}));
  store_->Answer();
}

TEST_F(StoreTest, WhatWasWrittenAndThenRefusedIsWithdrawn) {
  auto pool = sync_.Send(Ops({Pool("web")}));
  store_->Wait();
  store_->Answer();
  const uint64_t revision = pool.get()->revision;
  ApplyRequest request = WithId("once", 1, {Upsert("web", {B("10.0.0.1:80")})});
  request.expected_revision = revision;
  auto refused = sync_.Send(request);
  const StoreGroup written = store_->Wait();
  ASSERT_THAT(written.requests, SizeIs(1));
  ASSERT_THAT(written.audit, SizeIs(1));

  EXPECT_TRUE(sync_.Apply(Ops({Upsert("web", {B("10.0.0.2:80")})}, "ring:web.example")).ok());
  EXPECT_EQ(Reason(refused.get().status()), "REVISION_MISMATCH");
  store_->Answer();
  const StoreGroup next = store_->Wait();
  EXPECT_THAT(next.withdrawn_requests, ElementsAre(written.requests[0].number));
  EXPECT_THAT(next.withdrawn_audit, ElementsAre(written.audit[0].number));
  EXPECT_EQ(next.backends.at({"web", At("10.0.0.1:80")}), nullptr);
  store_->Answer();
  EXPECT_THAT(sync_.Read()->backends, SizeIs(1));
}

// Its sockets were bound for what it was before.
TEST_F(StoreTest, AWriteMadeAnewDoesNotGainAListenerWithoutSockets) {
  for (const Op& op : {Pool("web"), Pool("other"), Listener("http", "127.0.0.1:0", "web")}) {
    auto made = sync_.Send(Ops({op}));
    store_->Wait();
    store_->Answer();
    EXPECT_TRUE(made.get().ok());
  }
  auto same = sync_.Send(Ops({Pool("third"), Listener("http", "127.0.0.1:0", "web")}));
  store_->Wait();
  EXPECT_TRUE(
      sync_.Apply(Ops({Listener("http", "127.0.0.1:0", "other")}, "ring:web.example")).ok());
  EXPECT_EQ(Reason(same.get().status()), "REVISION_MISMATCH");
  store_->AnswerAtOnce();
  const auto view = sync_.Read();
  ASSERT_THAT(view->listeners, SizeIs(1));
  EXPECT_EQ(view->listeners[0].object->spec.pool, "other");
  EXPECT_THAT(view->pools, SizeIs(2));
}

TEST_F(StoreTest, TheGuardIsAskedAgainWhereAProviderCameBetween) {
  const std::vector<BackendSpec> ours = {B("10.0.0.1:80"), B("10.0.0.2:80"), B("10.0.0.3:80")};
  const std::vector<BackendSpec> theirs = {B("10.0.0.4:80"), B("10.0.0.5:80"), B("10.0.0.6:80")};
  Op pool = Pool("web");
  std::get<PutPool>(pool.op).spec.health_check = {.kind = HealthCheckKind::kNone};
  auto made = sync_.Send(Ops({pool, Upsert("web", ours)}, "api:first"));
  store_->Wait();
  store_->Answer();
  ASSERT_TRUE(made.get().ok());
  ASSERT_TRUE(sync_.Apply(Ops({Upsert("web", theirs)}, "ring:web.example")).ok());
  store_->Wait();
  store_->Answer();

  // Three of six may go, and wait for the disk; then DNS takes the others.
  const std::vector<Address> addresses = {ours[0].address, ours[1].address, ours[2].address};
  auto refused = sync_.Send(Ops({Remove("web", addresses, /*any_owner=*/true)}));
  store_->Wait();
  ASSERT_TRUE(sync_.Apply(Ops({Replace("web", {})}, "ring:web.example")).ok());

  const auto answer = refused.get();
  EXPECT_EQ(Reason(answer.status()), "MASS_REMOVAL");
  EXPECT_THAT(sync_.Read()->backends, SizeIs(3));
  store_->AnswerAtOnce();
}

TEST_F(StoreTest, ARepetitionJoinsTheFirstAndLaterGetsItsAnswer) {
  auto first = sync_.Send(WithId("once", 1, {Pool("web")}));
  store_->Wait();
  auto second = sync_.Send(WithId("once", 1, {Pool("web")}));
  auto other = sync_.Send(WithId("once", 2, {Pool("other")}));
  EXPECT_EQ(Reason(other.get().status()), "REQUEST_ID_REUSED");
  store_->AnswerAtOnce();

  const auto answer = first.get();
  const auto repeated = second.get();
  EXPECT_FALSE(answer->replayed);
  EXPECT_TRUE(repeated->replayed);
  EXPECT_EQ(repeated->revision, answer->revision);
  EXPECT_TRUE(sync_.Apply({Pool("third")}).ok());
  const auto later = sync_.Apply(WithId("once", 1, {Pool("web")}));
  EXPECT_TRUE(later->replayed);
  EXPECT_EQ(later->revision, answer->revision);
  EXPECT_EQ(later->results[0].added, 1u);
}

TEST_F(StoreTest, AStopWaitsForWhatTheStoreIsWriting) {
  auto answer = sync_.Send(Ops({Pool("web")}));
  store_->Wait();
  std::thread stop([this] { sync_.controller().Stop(); });
  store_->AnswerAtOnce();
  stop.join();
  EXPECT_TRUE(answer.get().ok());
}

TEST(StoredTest, WhatWasStoredIsThereAgainAndAnOverrideWaitsForItsBackend) {
  auto stored = std::make_shared<StoredState>();
  stored->revision = 7;
  stored->pools.push_back(std::make_shared<PoolObject>(PoolObject{{.name = "web"}, 5}));
  BackendObject drained{.pool = "web", .address = At("10.0.0.2:80"), .revision = 6};
  drained.override = Override{.admin_state = AdminState::kDraining, .reason = "fan"};
  stored->backends.push_back(std::make_shared<BackendObject>(drained));
  BackendObject claimed{.pool = "web", .address = At("10.0.0.1:80"), .revision = 7};
  claimed.claims.push_back(
      {.owner = "api:test", .spec = B("10.0.0.1:80"), .revision = 7, .order = 3});
  stored->backends.push_back(std::make_shared<BackendObject>(claimed));
  const auto store = std::make_shared<FakeStore>();
  store->AnswerAtOnce();
  SyncController sync({.shards = 1, .store = store, .stored = stored});

  EXPECT_EQ(sync.Read()->revision, 7u);
  ASSERT_THAT(sync.Read()->backends, SizeIs(1));
  EXPECT_EQ(sync.Read()->backends[0].object->revision, 7u);

  const std::string ring = "ring:web.example";
  for (int times = 0; times < 2; ++times) {
    EXPECT_TRUE(sync.Apply(Ops({Replace("web", {B("10.0.0.2:80")})}, ring)).ok());
    const auto view = sync.Read();
    ASSERT_THAT(view->backends, SizeIs(2));
    EXPECT_EQ(view->backends[1].object->override, drained.override);
    EXPECT_TRUE(sync.Apply(Ops({Replace("web", {})}, ring)).ok());
  }
  Op clear = Impose("web", {At("10.0.0.2:80")}, {});
  std::get<SetOverride>(clear.op).clear = true;
  EXPECT_TRUE(sync.Apply({clear}).ok());
  EXPECT_EQ(Reason(sync.Apply({clear}).status()), "BACKEND_NOT_FOUND");
}

}  // namespace
}  // namespace sidelb::control
