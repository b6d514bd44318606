// watch, get -w and wait against a scripted stream; health.
#include "gmock/gmock.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

pb::WatchResponse Message(const std::string& text) { return Parsed<pb::WatchResponse>(text); }

// Two backends of the pool "web", as `status` says.
pb::WatchResponse SnapshotOf(const std::string& first, const std::string& second) {
  return Message(R"(epoch: "e1" position: 5 revision: 812 snapshot { last: true state {
    pools { name: "web" revision: 812 }
    backends { pool: "web" address: "10.0.0.5:80" claims { owner: "static" } status { )" +
                 first + R"( } }
    backends { pool: "web" address: "10.0.0.6:80" claims { owner: "static" } status { )" +
                 second + " } } } }");
}

constexpr char kHealthy[] = "state: BACKEND_STATE_SERVING health: HEALTH_HEALTHY";
constexpr char kUnhealthy[] =
    "state: BACKEND_STATE_UNHEALTHY health: HEALTH_UNHEALTHY reason: HEALTH_REASON_REFUSED";

pb::WatchResponse PutSecond(const std::string& status) {
  return Message(R"(epoch: "e1" position: 6 revision: 812 events { events { kind: EVENT_KIND_PUT
    backend { pool: "web" address: "10.0.0.6:80" claims { owner: "static" } status { )" +
                 status + " } } } }");
}

pb::WatchResponse RemoveSecond() {
  return Message(R"(epoch: "e1" position: 7 revision: 813 events { actor: "api:cli"
    events { kind: EVENT_KIND_REMOVED backend { pool: "web" address: "10.0.0.6:80" } } })");
}

TEST(WatchCommandTest, SumsUpAndThenTellsEachChange) {
  ScriptedDaemon daemon;
  daemon.watch_messages = {SnapshotOf(kHealthy, kHealthy), PutSecond(kUnhealthy), RemoveSecond()};

  const Outcome outcome = RunLine(&daemon, {"watch"});

  const auto lines = LinesOf(outcome.out);
  ASSERT_EQ(lines.size(), 4u) << outcome.out;
  EXPECT_EQ(lines[0], "0 listeners, 1 pool, 2 backends at revision 812");
  EXPECT_THAT(lines[2], HasSubstr("U  backend   web/10.0.0.6:80"));
  EXPECT_THAT(lines[2], EndsWith("serving -> unhealthy (refused)"));
  EXPECT_THAT(lines[3], EndsWith("removed  by api:cli"));
  EXPECT_EQ(outcome.exit_code, ExitCode::kRejected);
  EXPECT_THAT(outcome.err, HasSubstr("the test ends the stream"));
}

TEST(WatchCommandTest, AsksForWhatItWasToldTo) {
  ScriptedDaemon daemon;

  RunLine(&daemon,
          {"watch", "web", "api", "--kind", "backend", "--view", "config", "--resume", "e1/9021"});

  const pb::WatchRequest& request = daemon.watched[0];
  EXPECT_THAT(request.filter().pools(), ElementsAre("web", "api"));
  EXPECT_THAT(request.filter().kinds(), ElementsAre(pb::OBJECT_KIND_BACKEND));
  EXPECT_EQ(request.view(), pb::VIEW_CONFIG);
  EXPECT_EQ(request.resume_epoch(), "e1");
  EXPECT_EQ(request.resume_position(), 9021u);
}

TEST(WatchCommandTest, GivesProgramsATokenAfterWhichAllIsKnown) {
  ScriptedDaemon daemon;
  daemon.watch_messages = {
      SnapshotOf(kHealthy, kHealthy), PutSecond(kUnhealthy),
      Message(R"(epoch: "e1" position: 6 revision: 812 heartbeat { queued_events: 1 })")};

  const auto lines = LinesOf(RunLine(&daemon, {"watch", "-o", "jsonl"}).out);

  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], HasSubstr("\"pool\":{\"name\":\"web\""));
  for (int i : {0, 1, 2}) EXPECT_THAT(lines[i], EndsWith("\"resumeToken\":\"\"}"));
  EXPECT_EQ(lines[3], R"({"epoch":"e1","position":"5","revision":"812",)"
                      R"("snapshot":{"last":true},"resumeToken":"e1/5"})");
  EXPECT_THAT(lines[4], HasSubstr("BACKEND_STATE_UNHEALTHY"));
  EXPECT_THAT(lines[4], EndsWith("\"resumeToken\":\"e1/6\"}"));
}

TEST(WatchCommandTest, TellsProgramsToForgetAndShowsHeartbeatsOnDemand) {
  ScriptedDaemon daemon;
  daemon.watch_messages = {
      SnapshotOf(kHealthy, kHealthy),
      Message(R"(epoch: "e2" position: 1 resync { reason: RESYNC_REASON_NEW_EPOCH })"),
      Message(R"(epoch: "e2" position: 1 revision: 900 snapshot { last: true })"),
      Message(R"(epoch: "e2" position: 1 revision: 900 heartbeat { })")};

  const Outcome outcome = RunLine(&daemon, {"watch", "-o", "jsonl", "--heartbeats"});

  const auto lines = LinesOf(outcome.out);
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_THAT(lines[4], HasSubstr("\"resync\":{\"reason\":\"RESYNC_REASON_NEW_EPOCH\""));
  EXPECT_THAT(lines[4], EndsWith("\"resumeToken\":\"\"}"));
  EXPECT_THAT(lines[5], EndsWith("\"snapshot\":{\"last\":true},\"resumeToken\":\"e2/1\"}"));
  EXPECT_THAT(lines[6], HasSubstr("\"heartbeat\":{\"configDigest\":\"0\""));
  EXPECT_THAT(outcome.err, HasSubstr("notice: everything comes anew: the daemon was restarted\n"));
}

TEST(GetWatchTest, PrintsTheTableAndThenRowsThatChanged) {
  ScriptedDaemon daemon;
  daemon.watch_messages = {SnapshotOf(kHealthy, kHealthy), PutSecond(kHealthy),
                           PutSecond(kUnhealthy), RemoveSecond()};

  const Outcome outcome = RunLine(&daemon, {"get", "backends", "web", "-w"});

  EXPECT_EQ(outcome.out,
            "POOL  ADDRESS      STATE    HEALTH   WEIGHT  SESSIONS  OWNER\n"
            "web   10.0.0.5:80  serving  healthy  100     0         static\n"
            "web   10.0.0.6:80  serving  healthy  100     0         static\n"
            "web   10.0.0.6:80  unhealthy  unhealthy  100     0         static\n"
            "web   10.0.0.6:80  removed  unhealthy  100     0         static\n");
  EXPECT_THAT(daemon.watched[0].filter().pools(), ElementsAre("web"));
}

TEST(GetWatchTest, PrintsWhatIsGoneWhenEverythingCameAnew) {
  ScriptedDaemon daemon;
  daemon.watch_messages = {
      SnapshotOf(kHealthy, kHealthy),
      Message(R"(epoch: "e2" position: 1 resync { reason: RESYNC_REASON_NEW_EPOCH })"),
      Message(R"(epoch: "e2" position: 1 revision: 900 snapshot { last: true state {
                 pools { name: "web" }
                 backends { pool: "web" address: "10.0.0.5:80" claims { owner: "static" }
                 status { state: BACKEND_STATE_SERVING health: HEALTH_HEALTHY } } } })")};

  const auto lines = LinesOf(RunLine(&daemon, {"get", "backends", "-w"}).out);

  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[3], "web   10.0.0.6:80  removed  healthy  100     0         static");
}

TEST(GetWatchTest, RefusesAWrongName) {
  ScriptedDaemon daemon;
  daemon.watch_messages = {Message(R"(epoch: "e1" snapshot { last: true })")};

  const Outcome outcome = RunLine(&daemon, {"get", "backends", "wbe", "-w"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kNotFound);
  EXPECT_EQ(outcome.err, "error: POOL_NOT_FOUND: there is no pool \"wbe\"\n");
}

TEST(WaitCommandTest, EndsWhenAllAreHealthy) {
  ScriptedDaemon daemon;
  daemon.watch_messages = {SnapshotOf(kHealthy, kUnhealthy), PutSecond(kHealthy)};

  const Outcome outcome = RunLine(&daemon, {"wait", "web", "--for", "healthy"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_EQ(outcome.out, "backend/web/10.0.0.5:80 healthy\nbackend/web/10.0.0.6:80 healthy\n");
  EXPECT_TRUE(daemon.watch_messages.empty());
}

TEST(WaitCommandTest, SaysWhatIsMissing) {
  ScriptedDaemon daemon;
  daemon.watch_end = absl::OkStatus();  // nothing more comes
  daemon.watch_messages = {
      SnapshotOf("state: BACKEND_STATE_SERVING health: HEALTH_UNKNOWN", kUnhealthy)};

  const Outcome outcome = RunLine(&daemon, {"wait", "web", "10.0.0.5:80", "10.0.0.6:80",
                                            "10.0.0.7:80", "--for", "healthy", "--timeout", "0"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kWaitNotReached);
  EXPECT_EQ(outcome.err,
            "error: WAIT_NOT_REACHED: within 0: 10.0.0.5:80 is serving, health unknown; "
            "10.0.0.6:80 is unhealthy (refused); 10.0.0.7:80 is not in pool \"web\"\n");
}

TEST(WaitCommandTest, KnowsAPoolThatIsNotThere) {
  ScriptedDaemon daemon;
  daemon.watch_messages = {Message(R"(epoch: "e1" snapshot { last: true })")};

  const Outcome outcome = RunLine(&daemon, {"wait", "web", "--for", "healthy"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kNotFound);
  EXPECT_THAT(outcome.err, HasSubstr("POOL_NOT_FOUND"));
}

TEST(WaitCommandTest, TellsARevisionThatDoesNotCome) {
  ScriptedDaemon daemon;

  const Outcome outcome =
      RunLine(&daemon, {"wait", "--for", "applied", "--revision", "900", "--timeout", "1s"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kWaitNotReached);
  EXPECT_EQ(outcome.err,
            "error: WAIT_NOT_REACHED: within 1s: the daemon is at revision 812, not at 900\n");
}

TEST(HealthTest, ShowsWhatProbesSay) {
  ScriptedDaemon daemon;
  const auto answer = [] {
    return AtRevision(812, Parsed<pb::State>(R"(
      pools { name: "web" }
      backends { pool: "web" address: "10.0.0.5:80"
                 status { state: BACKEND_STATE_UNHEALTHY health: HEALTH_UNHEALTHY
                          reason: HEALTH_REASON_TIMEOUT detail: "no answer" consecutive_failed: 3
                          transitions: 4 last_probe_latency { nanos: 4250000 }
                          ineligible_reason: INELIGIBLE_REASON_UNHEALTHY } })"));
  };
  daemon.state_answers = {answer(), answer(), answer()};

  const Outcome table = RunLine(&daemon, {"health", "web"});
  const Outcome json = RunLine(&daemon, {"health", "web", "-o", "json"});
  const Outcome wrong = RunLine(&daemon, {"health", "web", "10.0.0.9:80"});

  EXPECT_EQ(table.out,
            "POOL  ADDRESS      STATE      HEALTH     REASON   PROBED  LATENCY  OK/FAILED  CHANGES"
            "  EJECTED  WHY        DETAIL\n"
            "web   10.0.0.5:80  unhealthy  unhealthy  timeout  <none>  4.2ms    0/3        4      "
            "  <none>   unhealthy  no_answer\n");
  EXPECT_THAT(json.out, HasSubstr("\"consecutiveFailed\": 3"));
  EXPECT_EQ(wrong.exit_code, ExitCode::kNotFound);
}

TEST(HealthTest, ForcesAndFrees) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Updated(1)}), Accepted({Updated(1)})};

  const Outcome forced = RunLine(
      &daemon, {"health", "web", "10.0.0.5:80", "--force", "unhealthy", "--reason", "disk slow"});
  const Outcome freed = RunLine(&daemon, {"health", "web", "10.0.0.5:80", "--clear"});

  EXPECT_EQ(forced.out, "backend/web/10.0.0.5:80 forced unhealthy (revision 812, applied)\n");
  EXPECT_EQ(freed.out,
            "backend/web/10.0.0.5:80 freed of its health override (revision 812, applied)\n");
  const pb::SetOverride& force = daemon.applied[0].ops(0).set_override();
  EXPECT_EQ(force.override().health(), pb::HEALTH_OVERRIDE_FORCE_UNHEALTHY);
  EXPECT_EQ(force.override().reason(), "disk slow");
  EXPECT_EQ(force.clear_parts_size(), 0);
  const pb::SetOverride& clear = daemon.applied[1].ops(0).set_override();
  EXPECT_THAT(clear.clear_parts(), ElementsAre(pb::OVERRIDE_PART_HEALTH));
  EXPECT_FALSE(clear.has_override());
  EXPECT_FALSE(clear.clear());
}

}  // namespace
}  // namespace sidelb::client
