// What a watch makes of a stretch of the log, and the digest that goes with it.
#include "server/control/event_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fmt/format.h"
#include "server/control/config_digest.h"
#include "tests/unit/control/event_support.h"

namespace sidelb::control {
namespace {

constexpr uint64_t kAll = UINT64_MAX;

// The log of these batches, read from the beginning.
EventLog::Batches LogOf(std::vector<EventBatch> batches) {
  EventLog log;
  for (EventBatch& batch : batches) log.Append(std::move(batch), 100);
  return *log.Read(0, 100'000);
}

EventWindow Window(const EventLog::Batches& batches, Filter filter = {},
                   bool is_config_only = false, uint64_t position = 0, size_t max_bytes = 1 << 20) {
  return MakeWindow(batches, position, kAll, ObjectFilter(std::move(filter)), is_config_only,
                    max_bytes, [](const Event&) { return size_t{100}; });
}

// "+10.0.0.1:80", or "-" for what is removed from the view.
std::vector<std::string> Words(const EventWindow& window) {
  std::vector<std::string> words;
  for (const WindowChange& change : window.changes) {
    const auto& event = std::get<BackendEvent>(change.event->what);
    const auto& object = event.after.object ? event.after.object : event.before;
    words.push_back((change.is_removed ? "-" : "+") + object->address.ToString());
  }
  return words;
}

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Vectors of the function's authors.
TEST(ConfigDigestTest, IsFnv1a64) {
  EXPECT_EQ(Fnv1a64(""), 0xcbf29ce484222325u);
  EXPECT_EQ(Fnv1a64("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(Fnv1a64("foobar"), 0x85944171f73967e8u);
}

TEST(ConfigDigestTest, HashesKindPoolKeyAndRevision) {
  EXPECT_EQ(DigestOf(*ListenerAt("http", "web", 812)), Fnv1a64("listener//http@812"));
  EXPECT_EQ(DigestOf(*PoolAt("web", 812)), Fnv1a64("pool//web@812"));
  EXPECT_EQ(DigestOf(*BackendAt("10.0.0.5:80", 813)), Fnv1a64("backend/web/10.0.0.5:80@813"));
  EXPECT_EQ(DigestOf(*BackendAt("[2001:db8::1]:80", 7)), Fnv1a64("backend/web/[2001:db8::1]:80@7"));
  EXPECT_EQ(DigestOf(*WithoutClaims(*BackendAt("10.0.0.5:80", 813))), 0u);
}

TEST(EventWindowTest, ShowsOfEachObjectTheLastStateInTheOrderOfPositions) {
  const auto a1 = BackendAt("10.0.0.1:80", 1), a2 = BackendAt("10.0.0.1:80", 3);
  const auto b = BackendAt("10.0.0.2:80", 2);
  const auto batches = LogOf({BatchOf(1, {Became(nullptr, a1)}), BatchOf(2, {Became(nullptr, b)}),
                              BatchOf(3, {Became(a1, a2)})});
  const EventWindow window = Window(batches);
  EXPECT_THAT(Words(window), ElementsAre("+10.0.0.2:80", "+10.0.0.1:80"));
  EXPECT_EQ(window.end, 3u);
  EXPECT_EQ(window.revision, 3u);
  EXPECT_EQ(window.only, nullptr);
  EXPECT_EQ(window.digest_change, DigestOf(*a2) + DigestOf(*b));
  EXPECT_FALSE(window.is_split);
}

TEST(EventWindowTest, NamesTheBatchWhenAllIsOfOne) {
  const auto a = BackendAt("10.0.0.1:80", 1);
  const auto batches = LogOf({BatchOf(
      1, {Became(nullptr, a), Became(nullptr, BackendAt("10.0.0.2:80", 1))}, "api:deploy")});
  ASSERT_NE(Window(batches).only, nullptr);
  EXPECT_EQ(Window(batches).only->actor, "api:deploy");
}

TEST(EventWindowTest, WhatCameAndWentIsNotSeen) {
  const auto a = BackendAt("10.0.0.1:80", 1);
  const auto batches = LogOf({BatchOf(1, {Became(nullptr, a)}), BatchOf(2, {Became(a, nullptr)})});
  const EventWindow window = Window(batches);
  EXPECT_THAT(window.changes, IsEmpty());
  EXPECT_EQ(window.end, 2u);
  EXPECT_EQ(window.digest_change, 0u);
  // From between the two it is.
  EXPECT_THAT(Words(Window(batches, {}, false, 1)), ElementsAre("-10.0.0.1:80"));
}

TEST(EventWindowTest, LeavingTheFilterIsARemoval) {
  const auto blue = BackendAt("10.0.0.1:80", 1, "web", {{"colour", "blue"}});
  const auto green = BackendAt("10.0.0.1:80", 2, "web", {{"colour", "green"}});
  const auto batches = LogOf({BatchOf(2, {Became(blue, green)})});
  const Filter wants_blue{.backends = Selector{.tags = {{"colour", "blue"}}}};
  const Filter wants_green{.backends = Selector{.tags = {{"colour", "green"}}}};
  EXPECT_THAT(Words(Window(batches, wants_blue)), ElementsAre("-10.0.0.1:80"));
  EXPECT_EQ(Window(batches, wants_blue).digest_change, 0 - DigestOf(*blue));
  EXPECT_THAT(Words(Window(batches, wants_green)), ElementsAre("+10.0.0.1:80"));
  EXPECT_EQ(Window(batches, wants_green).digest_change, DigestOf(*green));
  EXPECT_THAT(Window(batches, {.pools = {"other"}}).changes, IsEmpty());
}

TEST(EventWindowTest, AFilterOnStatesFollowsTheState) {
  const auto a = BackendAt("10.0.0.1:80", 1);
  const auto batches =
      LogOf({BatchOf(1, {Became(a, a, BackendState::kServing, BackendState::kUnhealthy)})});
  EXPECT_THAT(Words(Window(batches, {.states = {BackendState::kServing}})),
              ElementsAre("-10.0.0.1:80"));
  EXPECT_THAT(Words(Window(batches, {.states = {BackendState::kUnhealthy}})),
              ElementsAre("+10.0.0.1:80"));
}

TEST(EventWindowTest, ConfigurationAloneDoesNotSeeStatusOrWhatDrains) {
  const auto a = BackendAt("10.0.0.1:80", 1);
  const auto removing = WithoutClaims(*a);
  const auto batches =
      LogOf({BatchOf(1, {Became(a, a, BackendState::kServing, BackendState::kUnhealthy)}),
             BatchOf(2, {Became(a, removing, BackendState::kUnhealthy, BackendState::kRemoving)}),
             BatchOf(2, {Became(removing, nullptr, BackendState::kRemoving)})});
  EXPECT_THAT(Window({batches[0]}, {}, true).changes, IsEmpty());
  EXPECT_THAT(Words(Window({batches[1]}, {}, true, 1)), ElementsAre("-10.0.0.1:80"));
  EXPECT_THAT(Words(Window({batches[1]}, {}, false, 1)), ElementsAre("+10.0.0.1:80"));
  EXPECT_THAT(Window({batches[2]}, {}, true, 2).changes, IsEmpty());
  EXPECT_THAT(Words(Window({batches[2]}, {}, false, 2)), ElementsAre("-10.0.0.1:80"));
}

TEST(EventWindowTest, EndsWhenAMessageIsFullAndSaysWhetherTheBatchGoesOn) {
  std::vector<Event> events;
  for (int i = 1; i <= 5; ++i) {
    events.push_back(Became(nullptr, BackendAt(fmt::format("10.0.0.{}:80", i), 1)));
  }
  std::vector<EventBatch> list;
  list.push_back(BatchOf(1, events));
  list.push_back(BatchOf(2, {Became(nullptr, BackendAt("10.0.0.9:80", 2))}));
  const auto batches = LogOf(std::move(list));
  const EventWindow first = Window(batches, {}, false, 0, /*max_bytes=*/250);
  EXPECT_EQ(first.end, 2u);
  EXPECT_TRUE(first.is_split);
  const EventWindow exact = Window(batches, {}, false, 2, /*max_bytes=*/300);
  EXPECT_EQ(exact.end, 5u);
  EXPECT_FALSE(exact.is_split);
  EXPECT_EQ(Window(batches, {}, false, 5, /*max_bytes=*/10).end, 6u);  // one event at least
}

TEST(EventWindowTest, DoesNotGoBeyondThePositionThatItIsGiven) {
  const auto a = BackendAt("10.0.0.1:80", 1);
  const auto batches = LogOf({BatchOf(1, {Became(nullptr, a)}), BatchOf(2, {Became(a, nullptr)})});
  const EventWindow window =
      MakeWindow(batches, 0, 1, ObjectFilter({}), false, 1'000, [](const Event&) { return 1; });
  EXPECT_EQ(window.end, 1u);
  EXPECT_EQ(window.digest_change, DigestOf(*a));
}

TEST(EventWindowTest, AListenerThatMovesToAnotherPoolLeavesTheFilterOfTheFirst) {
  const auto at_web = ListenerAt("http", "web", 1), at_api = ListenerAt("http", "api", 2);
  const auto batches = LogOf({BatchOf(2, {Became(at_web, at_api)})});
  ASSERT_EQ(Window(batches, {.pools = {"web"}}).changes.size(), 1u);
  EXPECT_TRUE(Window(batches, {.pools = {"web"}}).changes[0].is_removed);
  EXPECT_FALSE(Window(batches, {.pools = {"api"}}).changes[0].is_removed);
}

}  // namespace
}  // namespace sidelb::control
