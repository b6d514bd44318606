// What reads answer, and their pages.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <set>

#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/rpc/state_pages.h"

namespace sidelb::rpc {
namespace {

using std::chrono::seconds;

const StatePages::Time kStart{seconds(1'000)};

std::string Reason(const absl::Status& status) {
  const auto details = control::GetErrorDetails(status);
  return details ? details->reason : "";
}

control::StateView::BackendEntry MakeBackend(int number, bool has_claim = true) {
  auto object = std::make_shared<control::BackendObject>();
  object->pool = "web";
  object->address = *Address::Parse(fmt::format("10.0.{}.{}:80", number / 250, number % 250 + 1));
  if (has_claim) object->claims.push_back({.owner = "api:default", .spec = {object->address}});
  object->revision = 7;
  return {object, {}};
}

// One listener, one pool, `backends` backends.
std::shared_ptr<control::StateView> MakeView(int backends) {
  auto view = std::make_shared<control::StateView>();
  view->revision = 7;
  control::ListenerObject listener{.spec = {.name = "http"}, .revision = 5};
  view->listeners.push_back({std::make_shared<control::ListenerObject>(listener), {}});
  control::PoolObject pool{.spec = {.name = "web"}, .revision = 6};
  view->pools.push_back({std::make_shared<control::PoolObject>(pool), {}});
  for (int i = 0; i < backends; ++i) view->backends.push_back(MakeBackend(i));
  return view;
}

int Count(const pb::State& state) {
  return state.listeners_size() + state.pools_size() + state.backends_size();
}

TEST(StatePagesTest, WhatFitsIsOnePageAndPinsNothing) {
  StatePages pages;
  const auto page = pages.First(MakeView(3), StateDetail::kFull, "all", 5, kStart);
  EXPECT_EQ(Count(page.state()), 5);
  EXPECT_EQ(page.total_size(), 5u);
  EXPECT_EQ(page.revision(), 7u);
  EXPECT_EQ(page.next_page_token(), "");
  EXPECT_EQ(pages.pins(), 0u);
}

TEST(StatePagesTest, AnEmptyStateIsOneEmptyPage) {
  StatePages pages;
  const auto page =
      pages.First(std::make_shared<control::StateView>(), StateDetail::kFull, "", 5, kStart);
  EXPECT_EQ(Count(page.state()), 0);
  EXPECT_TRUE(page.has_state());
  EXPECT_EQ(page.next_page_token(), "");
}

TEST(StatePagesTest, PagesHoldEveryObjectOnceAndInOrder) {
  for (const size_t page_size : {1u, 2u, 3u, 7u, 101u, 102u}) {
    SCOPED_TRACE(page_size);
    StatePages pages;
    auto page = pages.First(MakeView(100), StateDetail::kFull, "all", page_size, kStart);
    pb::State all = page.state();
    while (!page.next_page_token().empty()) {
      EXPECT_EQ(static_cast<size_t>(Count(page.state())), page_size);
      const auto next = pages.Next(page.next_page_token(), "all", page_size, kStart);
      ASSERT_TRUE(next.ok()) << next.status();
      page = *next;
      EXPECT_EQ(page.revision(), 7u);
      EXPECT_EQ(page.total_size(), 102u);
      EXPECT_GT(Count(page.state()), 0);
      all.MergeFrom(page.state());
    }
    ASSERT_EQ(Count(all), 102);
    std::set<std::string> addresses;
    for (const auto& backend : all.backends()) addresses.insert(backend.address());
    EXPECT_EQ(addresses.size(), 100u);
    EXPECT_EQ(all.backends(0).address(), "10.0.0.1:80");
    EXPECT_EQ(all.backends(99).address(), "10.0.0.100:80");
  }
}

TEST(StatePagesTest, APageMayBeAskedForAgain) {
  StatePages pages;
  const auto first = pages.First(MakeView(10), StateDetail::kFull, "all", 4, kStart);
  const auto once = pages.Next(first.next_page_token(), "all", 4, kStart);
  const auto twice = pages.Next(first.next_page_token(), "all", 4, kStart);
  ASSERT_TRUE(once.ok() && twice.ok());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*once, *twice));
}

TEST(StatePagesTest, APinLastsSixtySecondsAfterItsLastUse) {
  StatePages pages;
  const auto first = pages.First(MakeView(10), StateDetail::kFull, "all", 4, kStart);
  EXPECT_TRUE(pages.Next(first.next_page_token(), "all", 4, kStart + seconds(59)).ok());
  EXPECT_TRUE(pages.Next(first.next_page_token(), "all", 4, kStart + seconds(118)).ok());
  const auto late = pages.Next(first.next_page_token(), "all", 4, kStart + seconds(178));
  EXPECT_TRUE(absl::IsOutOfRange(late.status())) << late.status();
  EXPECT_EQ(Reason(late.status()), "PAGE_EXPIRED");
  EXPECT_EQ(pages.pins(), 0u);
}

TEST(StatePagesTest, ExpireFreesWhatNobodyAsksForAnyMore) {
  StatePages pages;
  auto view = MakeView(10);
  const std::weak_ptr<control::StateView> watched = view;
  pages.First(std::move(view), StateDetail::kFull, "all", 4, kStart);
  pages.Expire(kStart + seconds(59));
  EXPECT_FALSE(watched.expired());
  pages.Expire(kStart + seconds(60));
  EXPECT_TRUE(watched.expired());
}

TEST(StatePagesTest, OnePinTooManyEndsTheOneThatWasLeftAloneLongest) {
  StatePages pages;
  std::vector<std::string> tokens;
  for (size_t i = 0; i < StatePages::kMaxPins; ++i) {
    tokens.push_back(pages
                         .First(MakeView(10), StateDetail::kFull, "all", 4,
                                kStart + std::chrono::milliseconds(i))
                         .next_page_token());
  }
  ASSERT_TRUE(pages.Next(tokens[0], "all", 4, kStart + seconds(1)).ok());
  pages.First(MakeView(10), StateDetail::kFull, "all", 4, kStart + seconds(2));
  EXPECT_EQ(pages.pins(), StatePages::kMaxPins);
  EXPECT_TRUE(pages.Next(tokens[0], "all", 4, kStart + seconds(2)).ok());
  EXPECT_EQ(Reason(pages.Next(tokens[1], "all", 4, kStart + seconds(2)).status()), "PAGE_EXPIRED");
}

TEST(StatePagesTest, TokensThatItNeverGaveAreBad) {
  StatePages pages;
  const auto first = pages.First(MakeView(10), StateDetail::kFull, "all", 4, kStart);
  const std::string pin = first.next_page_token().substr(0, first.next_page_token().find('-'));
  for (const std::string& token :
       {std::string("x"), std::string("-"), std::string("1-"), std::string("-1"),
        std::string("1-2-3"), std::string("zz-1"), std::string("1 -1"),
        std::string(1'000, '1') + "-1", pin + "-0", pin + "-c", pin + "-ffffffffffffffff"}) {
    const auto page = pages.Next(token, "all", 4, kStart);
    EXPECT_TRUE(absl::IsInvalidArgument(page.status())) << token << ": " << page.status();
    EXPECT_EQ(Reason(page.status()), "BAD_TOKEN") << token;
  }
}

TEST(StatePagesTest, ATokenBelongsToItsSelection) {
  StatePages pages;
  const auto first = pages.First(MakeView(10), StateDetail::kFull, "all", 4, kStart);
  EXPECT_EQ(Reason(pages.Next(first.next_page_token(), "other", 4, kStart).status()), "BAD_TOKEN");
}

TEST(StatePagesTest, ATokenOfAnotherRunHasExpired) {
  StatePages before, after;
  const auto first = before.First(MakeView(10), StateDetail::kFull, "all", 4, kStart);
  after.First(MakeView(10), StateDetail::kFull, "all", 4, kStart);
  EXPECT_EQ(Reason(after.Next(first.next_page_token(), "all", 4, kStart).status()), "PAGE_EXPIRED");
}

TEST(StatePagesTest, PagesStayWellUnderTheMessageLimit) {
  auto view = MakeView(0);
  for (int i = 0; i < 2'000; ++i) {
    auto object = std::make_shared<control::BackendObject>(*MakeBackend(i).object);
    for (int tag = 0; tag < 16; ++tag) {
      object->claims[0].spec.tags[fmt::format("tag-{}", tag)] = std::string(200, 'v');
    }
    view->backends.push_back({object, {}});
  }
  StatePages pages;
  auto page = pages.First(std::move(view), StateDetail::kFull, "all", 2'000, kStart);
  int seen = Count(page.state());
  while (!page.next_page_token().empty()) {
    EXPECT_LE(page.ByteSizeLong(), 4u << 20);
    const auto next = pages.Next(page.next_page_token(), "all", 2'000, kStart);
    ASSERT_TRUE(next.ok()) << next.status();
    page = *next;
    ASSERT_GT(Count(page.state()), 0);
    seen += Count(page.state());
  }
  EXPECT_EQ(seen, 2'002);
}

TEST(StatePagesTest, AnObjectLargerThanAPageComesAlone) {
  auto view = std::make_shared<control::StateView>();
  for (int i = 0; i < 2; ++i) {
    auto object = std::make_shared<control::BackendObject>(*MakeBackend(i).object);
    object->claims[0].spec.zone = std::string(StatePages::kMaxPageBytes + 1, 'z');
    view->backends.push_back({object, {}});
  }
  StatePages pages;
  const auto first = pages.First(std::move(view), StateDetail::kFull, "all", 10, kStart);
  EXPECT_EQ(Count(first.state()), 1);
  const auto second = pages.Next(first.next_page_token(), "all", 10, kStart);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(Count(second->state()), 1);
  EXPECT_EQ(second->next_page_token(), "");
}

TEST(StatePagesTest, ConfigurationLeavesOutWhatOnlyDrains) {
  auto view = MakeView(2);
  view->backends.push_back(MakeBackend(9, /*has_claim=*/false));
  StatePages pages;
  const auto full = pages.First(view, StateDetail::kFull, "full", 10, kStart);
  EXPECT_EQ(full.state().backends_size(), 3);
  EXPECT_EQ(full.total_size(), 5u);
  const auto config = pages.First(view, StateDetail::kConfig, "config", 10, kStart);
  EXPECT_EQ(config.state().backends_size(), 2);
  EXPECT_EQ(config.total_size(), 4u);
  EXPECT_EQ(view->backends.size(), 3u) << "the shared view must not change";
}

TEST(ConvertStateTest, AListenerShowsItsStatus) {
  control::ListenerObject object{.spec = {.name = "http"}, .revision = 5};
  control::StateView::ListenerEntry entry{std::make_shared<control::ListenerObject>(object), {}};
  entry.status = {.is_bound = true,
                  .error = "shard 1: EADDRINUSE",
                  .active_connections = 3,
                  .bound_address = *Address::Parse("127.0.0.1:8080")};
  const pb::Listener full = ToProto(entry, StateDetail::kFull);
  EXPECT_EQ(full.name(), "http");
  EXPECT_EQ(full.revision(), 5u);
  EXPECT_TRUE(full.status().bound());
  EXPECT_EQ(full.status().error(), "shard 1: EADDRINUSE");
  EXPECT_EQ(full.status().active_connections(), 3u);
  EXPECT_EQ(full.status().bound_address(), "127.0.0.1:8080");
  EXPECT_FALSE(ToProto(entry, StateDetail::kConfig).has_status());
  entry.status.bound_address = Address();
  EXPECT_EQ(ToProto(entry, StateDetail::kFull).status().bound_address(), "");
}

TEST(ConvertStateTest, APoolShowsItsStatus) {
  control::PoolObject object{.spec = {.name = "web"}, .revision = 6};
  control::StateView::PoolEntry entry{std::make_shared<control::PoolObject>(object), {}};
  entry.status = {.total = 6,
                  .serving = 1,
                  .draining = 2,
                  .unhealthy = 3,
                  .disabled = 4,
                  .active_connections = 5};
  const pb::Pool full = ToProto(entry, StateDetail::kFull);
  EXPECT_EQ(full.name(), "web");
  EXPECT_EQ(full.revision(), 6u);
  EXPECT_EQ(full.status().total(), 6u);
  EXPECT_EQ(full.status().serving(), 1u);
  EXPECT_EQ(full.status().draining(), 2u);
  EXPECT_EQ(full.status().unhealthy(), 3u);
  EXPECT_EQ(full.status().disabled(), 4u);
  EXPECT_EQ(full.status().active_connections(), 5u);
  EXPECT_FALSE(ToProto(entry, StateDetail::kConfig).has_status());
}

TEST(ConvertStateTest, ABackendShowsClaimsOverrideAndStatus) {
  auto object = std::make_shared<control::BackendObject>(*MakeBackend(0).object);
  object->claims[0].revision = 3;
  object->claims.push_back({.owner = "static", .spec = {object->address}, .revision = 2});
  object->override = control::Override{.weight = 5, .set_by = "api:cli"};
  object->effective = {.address = object->address, .weight = 5};
  control::StateView::BackendEntry entry{object, {}};
  entry.status = {.state = control::BackendState::kDraining,
                  .health = Health::kHealthy,
                  .active_connections = 4,
                  .drain_deadline = absl::FromUnixSeconds(100),
                  .state_change_time = absl::FromUnixSeconds(70),
                  .effective_weight = 5,
                  .ineligible_reason = IneligibleReason::kDraining};
  const pb::Backend full = ToProto(entry, StateDetail::kFull);
  EXPECT_EQ(full.pool(), "web");
  EXPECT_EQ(full.address(), "10.0.0.1:80");
  EXPECT_EQ(full.revision(), 7u);
  ASSERT_EQ(full.claims_size(), 2);
  EXPECT_EQ(full.claims(0).owner(), "api:default");
  EXPECT_EQ(full.claims(0).revision(), 3u);
  EXPECT_EQ(full.claims(0).spec().address(), "10.0.0.1:80");
  EXPECT_EQ(full.claims(1).owner(), "static");
  EXPECT_EQ(full.override().weight(), 5u);
  EXPECT_EQ(full.override().set_by(), "api:cli");
  EXPECT_EQ(full.effective().weight(), 5u);
  EXPECT_EQ(full.status().state(), pb::BACKEND_STATE_DRAINING);
  EXPECT_EQ(full.status().health(), pb::HEALTH_HEALTHY);
  EXPECT_EQ(full.status().active_connections(), 4u);
  EXPECT_EQ(full.status().drain_deadline().seconds(), 100);
  EXPECT_EQ(full.status().state_change_time().seconds(), 70);
  EXPECT_EQ(full.status().effective_weight(), 5u);
  EXPECT_EQ(full.status().ineligible_reason(), pb::INELIGIBLE_REASON_DRAINING);
  const pb::Backend config = ToProto(entry, StateDetail::kConfig);
  EXPECT_EQ(config.claims_size(), 2);
  EXPECT_TRUE(config.has_override());
  EXPECT_FALSE(config.has_status());
  EXPECT_FALSE(config.has_effective());
}

TEST(ConvertStateTest, AnApplyResponseKeepsEveryField) {
  const pb::ApplyResponse proto = ToProto(control::ApplyResponse{
      .revision = 9,
      .results = {{.added = 1, .updated = 2, .removed = 3, .unchanged = 4}, {.added = 5}},
      .reached = control::WaitFor::kApplied,
      .pending = 6,
      .warnings = {"still claimed"}});
  EXPECT_EQ(proto.revision(), 9u);
  ASSERT_EQ(proto.results_size(), 2);
  EXPECT_EQ(proto.results(0).added(), 1u);
  EXPECT_EQ(proto.results(0).updated(), 2u);
  EXPECT_EQ(proto.results(0).removed(), 3u);
  EXPECT_EQ(proto.results(0).unchanged(), 4u);
  EXPECT_EQ(proto.results(1).added(), 5u);
  EXPECT_EQ(proto.reached(), pb::WAIT_FOR_APPLIED);
  EXPECT_EQ(proto.pending(), 6u);
  EXPECT_THAT(proto.warnings(), ::testing::ElementsAre("still claimed"));
}

TEST(ConvertStateTest, InfoKeepsEveryField) {
  control::Info info{.epoch = "e",
                     .revision = 2,
                     .applied_revision = 1,
                     .shards = 3,
                     .start_time = absl::FromUnixSeconds(50),
                     .state = control::ServerState::kDraining,
                     .active_connections = 4,
                     .max_connections = 5};
  info.conditions.push_back({"LISTEN_FAILED", "http", absl::FromUnixSeconds(60)});
  info.faults.emplace_back("EMFILE", 7);
  const pb::GetInfoResponse proto = ToProto(info);
  EXPECT_EQ(proto.epoch(), "e");
  EXPECT_EQ(proto.revision(), 2u);
  EXPECT_EQ(proto.applied_revision(), 1u);
  EXPECT_EQ(proto.shards(), 3u);
  EXPECT_EQ(proto.start_time().seconds(), 50);
  EXPECT_EQ(proto.state(), pb::SERVER_STATE_DRAINING);
  EXPECT_EQ(proto.active_connections(), 4u);
  EXPECT_EQ(proto.limits().max_connections(), 5u);
  ASSERT_EQ(proto.conditions_size(), 1);
  EXPECT_EQ(proto.conditions(0).code(), "LISTEN_FAILED");
  EXPECT_EQ(proto.conditions(0).detail(), "http");
  EXPECT_EQ(proto.conditions(0).since().seconds(), 60);
  ASSERT_EQ(proto.faults_size(), 1);
  EXPECT_EQ(proto.faults(0).code(), "EMFILE");
  EXPECT_EQ(proto.faults(0).count(), 7u);
}

}  // namespace
}  // namespace sidelb::rpc
