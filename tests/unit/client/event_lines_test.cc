// Lines of events: what a person is told of a change, what a program gets.
#include "client/cli/event_lines.h"

#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A view with one object, then the event; the change that it makes.
WatchView::Change ChangeOf(const std::string& before, const std::string& after) {
  WatchView view;
  view.Apply(Parsed<pb::WatchResponse>(R"(epoch: "e" snapshot { last: true })"));
  if (!before.empty()) {
    view.Apply(Parsed<pb::WatchResponse>(R"(epoch: "e" events { events { kind: EVENT_KIND_PUT )" +
                                         before + " } }"));
  }
  return view.Apply(
      Parsed<pb::WatchResponse>(R"(epoch: "e" events { events { )" + after + " } }"))[0];
}

WatchView::Change BackendChange(const std::string& before, const std::string& after) {
  const std::string key = R"(pool: "web" address: "10.0.0.5:80" )";
  return ChangeOf("backend { " + key + before + " }",
                  "kind: EVENT_KIND_PUT backend { " + key + after + " }");
}

constexpr char kServing[] = "status { state: BACKEND_STATE_SERVING health: HEALTH_HEALTHY }";

TEST(ChangeTextsTest, TellsTheNewStateAndWhy) {
  EXPECT_THAT(ChangeTexts(BackendChange(kServing, R"(
      status { state: BACKEND_STATE_UNHEALTHY health: HEALTH_UNHEALTHY
               reason: HEALTH_REASON_TIMEOUT detail: "connect: no answer"
               ineligible_reason: INELIGIBLE_REASON_UNHEALTHY })")),
              ElementsAre("serving -> unhealthy (timeout: connect: no answer)"));
}

TEST(ChangeTextsTest, TellsHealthWhereTheStateDoesNot) {
  EXPECT_THAT(
      ChangeTexts(BackendChange("status { state: BACKEND_STATE_DRAINING health: HEALTH_HEALTHY }",
                                "status { state: BACKEND_STATE_DRAINING health: HEALTH_UNHEALTHY "
                                "reason: HEALTH_REASON_REFUSED }")),
      ElementsAre("health healthy -> unhealthy (refused)"));
}

TEST(ChangeTextsTest, TellsEachAttributeThatChanged) {
  EXPECT_THAT(
      ChangeTexts(BackendChange(R"(claims { owner: "static" } effective { weight: 100 zone: "a" })",
                                R"(claims { owner: "static" } claims { owner: "api:x" }
                                   effective { weight: 50 zone: "b" }
                                   override { admin_state: ADMIN_STATE_DRAINING })")),
      ElementsAre("weight 100 -> 50", "override none -> draining",
                  "claimed by static -> static,api:x", "zone a -> b"));
}

TEST(ChangeTextsTest, CountsTheSessionsOfABackendThatDrains) {
  EXPECT_THAT(
      ChangeTexts(BackendChange("status { state: BACKEND_STATE_DRAINING active_connections: 3 }",
                                "status { state: BACKEND_STATE_DRAINING active_connections: 1 }")),
      ElementsAre("1 session left"));
}

TEST(ChangeTextsTest, TellsEjectionAndItsEnd) {
  const std::string ejected =
      "status { state: BACKEND_STATE_SERVING ejected_until { seconds: 9 } "
      "ineligible_reason: INELIGIBLE_REASON_EJECTED }";
  const std::string readmitted = "status { state: BACKEND_STATE_SERVING }";

  EXPECT_THAT(ChangeTexts(BackendChange(readmitted, ejected)),
              ElementsAre("ejected", "takes no sessions: ejected"));
  EXPECT_THAT(ChangeTexts(BackendChange(ejected, readmitted)),
              ElementsAre("readmitted", "takes sessions"));
}

TEST(ChangeTextsTest, SaysNothingOfProbesThatChangeNothing) {
  EXPECT_THAT(
      ChangeTexts(BackendChange("status { consecutive_ok: 3 }",
                                "status { consecutive_ok: 4 last_probe_time { seconds: 1 } }")),
      IsEmpty());
  EXPECT_THAT(ChangeTexts(BackendChange("revision: 3", "revision: 4")), ElementsAre("changed"));
}

TEST(ChangeTextsTest, TellsNewObjectsFromThoseOfWhichItKnewNothing) {
  const std::string event = R"(kind: EVENT_KIND_PUT backend { pool: "web" address: "10.0.0.5:80"
      claims { owner: "static" } status { state: BACKEND_STATE_WARMING effective_weight: 50 } })";
  WatchView resumed;
  const auto unknown =
      resumed.Apply(Parsed<pb::WatchResponse>(R"(epoch: "e" events { events { )" + event + " } }"));

  EXPECT_THAT(ChangeTexts(ChangeOf("", event)),
              ElementsAre("added", "warming", "weight 50", "claimed by static"));
  EXPECT_THAT(ChangeTexts(unknown[0]), ElementsAre("warming", "weight 50", "claimed by static"));
  EXPECT_THAT(
      ChangeTexts(ChangeOf(
          "", R"(kind: EVENT_KIND_REMOVED backend { pool: "web" address: "10.0.0.5:80" })")),
      ElementsAre("removed"));
}

TEST(ChangeTextsTest, TellsOfPoolsAndListeners) {
  EXPECT_THAT(ChangeTexts(ChangeOf(R"(pool { name: "web" status { serving: 3 } })",
                                   R"(kind: EVENT_KIND_PUT pool { name: "web" mode: MODE_MAGLEV
                              status { serving: 1 unhealthy: 2 panic: true } })")),
              ElementsAre("mode round-robin -> maglev", "serving 3 -> 1", "unhealthy 0 -> 2",
                          "panic: uses unhealthy backends too"));
  EXPECT_THAT(
      ChangeTexts(ChangeOf(R"(listener { name: "http" pool: "web" status { bound: true } })",
                           R"(kind: EVENT_KIND_PUT listener { name: "http" pool: "v2"
                              status { error: "EADDRINUSE" } })")),
      ElementsAre("bound -> failed", "EADDRINUSE", "pool web -> v2"));
}

TEST(EventLineTest, IsAlignedAndSaysWhoDidIt) {
  const EventLineLayout layout{.name_width = 18, .zone = absl::UTCTimeZone()};
  const absl::Time time = absl::FromUnixMillis(3'723'004);

  const std::string backend = EventLine(
      BackendChange(kServing, "status { state: BACKEND_STATE_UNHEALTHY health: HEALTH_UNHEALTHY }"),
      time, "", layout);
  const std::string pool = EventLine(
      ChangeOf("", R"(kind: EVENT_KIND_REMOVED pool { name: "web" })"), time, "api:cli", layout);
  const std::string nothing = EventLine(BackendChange(kServing, kServing), time, "", layout);

  EXPECT_EQ(backend, "01:02:03.004  U  backend   web/10.0.0.5:80     serving -> unhealthy\n");
  EXPECT_EQ(pool, "01:02:03.004  -  pool      web                 removed  by api:cli\n");
  EXPECT_EQ(nothing, "");
}

TEST(EventLineTest, ShowsNothingThatMovesTheCursor) {
  const std::string line =
      EventLine(ChangeOf("", R"(kind: EVENT_KIND_REMOVED pool { name: "a\033[2J" })"),
                absl::UnixEpoch(), "x\ny", {});

  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST(SummaryLinesTest, CountsWhatThereIs) {
  WatchView view;
  view.Apply(Parsed<pb::WatchResponse>(R"(epoch: "e" revision: 812 snapshot { last: true state {
      listeners { name: "http" } pools { name: "api" mode: MODE_P2C } pools { name: "web" }
      backends { pool: "web" address: "a" status { state: BACKEND_STATE_SERVING } }
      backends { pool: "web" address: "b" status { state: BACKEND_STATE_SERVING } }
      backends { pool: "web" address: "c" status { state: BACKEND_STATE_UNHEALTHY } } } })"));

  EXPECT_EQ(SummaryLines(view, Colour::kNever),
            "1 listener, 2 pools, 3 backends at revision 812\n"
            "  api  p2c, 0 backends\n"
            "  web  round-robin, 3 backends: 2 serving, 1 unhealthy\n");
}

TEST(TokenLineTest, EndsWithTheTokenInEveryLayout) {
  const pb::Event event = Parsed<pb::Event>(R"(kind: EVENT_KIND_REMOVED pool { name: "web}" })");

  const std::string line = TokenLine(event, "e1/7", JsonLayout::kLine);
  const std::string indented = TokenLine(event, "e1/7", JsonLayout::kIndented);

  EXPECT_THAT(line, testing::EndsWith(",\"resumeToken\":\"e1/7\"}\n"));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_THAT(indented, testing::EndsWith(" },\n \"resumeToken\": \"e1/7\"\n}\n"));
  for (const std::string& text : {line, indented}) {
    pb::Event parsed;
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(text, &parsed, options).ok()) << text;
    EXPECT_EQ(parsed.pool().name(), "web}");
  }
}

}  // namespace
}  // namespace sidelb::client
