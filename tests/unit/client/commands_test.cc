// Whole command lines against a scripted daemon: what is asked, what is printed, the exit code.
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/json_util.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::Status DaemonError(absl::StatusCode code, const std::string& reason,
                         const std::string& message, const std::string& field = "",
                         const std::string& description = "") {
  google::rpc::Status status;
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("sidelb");
  status.add_details()->PackFrom(info);
  if (!field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description(description);
    status.add_details()->PackFrom(bad);
  }
  return WithSerializedDetails(absl::Status(code, message), status.SerializeAsString());
}

pb::State StateOf(const std::string& text) {
  pb::State state;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &state)) << text;
  return state;
}

TEST(WriteTest, PrintsALineForEachObject) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Added(1), Unchanged(1), Updated(1)})};

  const Outcome outcome =
      RunLine(&daemon, {"add", "web", "10.0.0.5:80", "10.0.0.6:80", "[::1]:80"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_EQ(outcome.out,
            "backend/web/10.0.0.5:80 added (revision 812, applied)\n"
            "backend/web/10.0.0.6:80 unchanged (revision 812, applied)\n"
            "backend/web/[::1]:80 updated (revision 812, applied)\n");
  EXPECT_EQ(outcome.err, "");
}

TEST(WriteTest, SaysThatADryRunWasOne) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Added(1)}, pb::WAIT_FOR_UNSPECIFIED)};

  const Outcome outcome = RunLine(&daemon, {"add", "web", "10.0.0.5:80", "--dry-run"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_TRUE(daemon.applied[0].validate_only());
  EXPECT_EQ(outcome.out, "backend/web/10.0.0.5:80 added (dry run)\n");
}

TEST(WriteTest, PrintsWarningsToStandardError) {
  ScriptedDaemon daemon;
  pb::ApplyResponse response = Accepted({Added(1)});
  response.add_warnings("something\nodd");
  daemon.apply_answers = {response};

  const Outcome outcome = RunLine(&daemon, {"add", "web", "10.0.0.5:80"});

  EXPECT_EQ(outcome.err, "warning: something\\x0aodd\n");
}

TEST(WriteTest, PrintsTheResponseAsJson) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Added(1)}), Accepted({Added(1)})};

  const Outcome indented = RunLine(&daemon, {"add", "web", "10.0.0.5:80", "-o", "json"});
  const Outcome line = RunLine(&daemon, {"add", "web", "10.0.0.5:80", "-o", "jsonl"});

  pb::ApplyResponse parsed;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(indented.out, &parsed).ok());
  EXPECT_EQ(parsed.revision(), 812u);
  EXPECT_THAT(line.out, HasSubstr("\"revision\":\"812\""));
  EXPECT_EQ(std::count(line.out.begin(), line.out.end(), '\n'), 1);
}

TEST(WriteTest, ExitsWithFourWhenTheBackendLivesOn) {
  ScriptedDaemon daemon;
  pb::ApplyResponse response = Accepted({Updated(1)});
  response.add_warnings("backend 10.0.0.5:80: still claimed by static; use disable or --any-owner");
  daemon.apply_answers = {response};

  const Outcome outcome = RunLine(&daemon, {"rm", "web", "10.0.0.5:80"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kConflict);
  EXPECT_EQ(outcome.out, "backend/web/10.0.0.5:80 released (revision 812, applied)\n");
  EXPECT_THAT(outcome.err, HasSubstr("warning: backend 10.0.0.5:80: still claimed by static"));
}

TEST(WriteTest, ExitsWithEightWhenTheWaitWasNotReached) {
  ScriptedDaemon daemon;
  pb::ApplyResponse response = Accepted({Removed(1)});
  response.set_pending(3);
  daemon.apply_answers = {response};

  const Outcome outcome = RunLine(&daemon, {"rm", "web", "10.0.0.5:80", "--drain", "1s", "--wait"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kWaitNotReached);
  EXPECT_EQ(outcome.out, "backend/web/10.0.0.5:80 removed (revision 812, applied, 3 pending)\n");
  EXPECT_EQ(daemon.applied[0].wait(), pb::WAIT_FOR_DRAINED);
}

TEST(WriteTest, ExitsWithThreeOnlyWhenThatIsAskedFor) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Unchanged(1)}), Accepted({Unchanged(1)}),
                          Accepted({Unchanged(1), Added(1)})};

  EXPECT_EQ(RunLine(&daemon, {"add", "web", "10.0.0.5:80"}).exit_code, ExitCode::kOk);
  EXPECT_EQ(RunLine(&daemon, {"add", "web", "10.0.0.5:80", "--error-unchanged"}).exit_code,
            ExitCode::kUnchanged);
  EXPECT_EQ(
      RunLine(&daemon, {"add", "web", "10.0.0.5:80", "10.0.0.6:80", "--error-unchanged"}).exit_code,
      ExitCode::kOk);
}

TEST(WriteTest, NamesTheReasonTheFieldAndTheObject) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {DaemonError(absl::StatusCode::kInvalidArgument, "BAD_FIELD",
                                      "2 fields are wrong",
                                      "ops[1].upsert_backends.backends[0].zone", "is too long")};

  const Outcome outcome =
      RunLine(&daemon, {"add", "web", "10.0.0.5:80", "10.0.0.6:80", "--zone", "x"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kRejected);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err,
            "error: BAD_FIELD: 2 fields are wrong\n"
            "  ops[1].upsert_backends.backends[0].zone: is too long (backend/web/10.0.0.6:80)\n");
}

TEST(WriteTest, DoesNotSayTheFieldTwice) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {DaemonError(absl::StatusCode::kInvalidArgument, "BAD_FIELD",
                                      "ops[0].put_pool.name: is bad", "ops[0].put_pool.name",
                                      "is bad")};

  const Outcome outcome = RunLine(&daemon, {"add", "pool", "web"});

  EXPECT_EQ(outcome.err,
            "error: BAD_FIELD: ops[0].put_pool.name: is bad\n"
            "  ops[0].put_pool.name (pool/web)\n");
}

TEST(WriteTest, PrintsErrorsAsJsonToStandardError) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {
      DaemonError(absl::StatusCode::kNotFound, "POOL_NOT_FOUND", "no pool", "f", "d")};

  const Outcome outcome = RunLine(&daemon, {"add", "web", "10.0.0.5:80", "-o", "json"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kNotFound);
  EXPECT_EQ(outcome.out, "");
  google::rpc::Status parsed;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(outcome.err, &parsed).ok())
      << outcome.err;
  EXPECT_EQ(parsed.code(), 5);
  EXPECT_EQ(parsed.details_size(), 2);
  EXPECT_THAT(outcome.err, HasSubstr("POOL_NOT_FOUND"));
}

TEST(WriteTest, NamesTheCodeWhereTheDaemonGivesNoReason) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {absl::UnimplementedError("unknown method")};

  EXPECT_EQ(RunLine(&daemon, {"add", "pool", "web"}).err, "error: UNIMPLEMENTED: unknown method\n");
}

TEST(AddTest, AdvisesWhenThePoolIsMissing) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {
      DaemonError(absl::StatusCode::kNotFound, "POOL_NOT_FOUND", "there is no pool \"web\"")};

  const Outcome outcome = RunLine(&daemon, {"add", "web", "10.0.0.5:80"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kNotFound);
  EXPECT_THAT(outcome.err, HasSubstr("hint: create it with \"sidelb-cli add pool web\""));
  EXPECT_TRUE(daemon.read.empty());
}

TEST(AddTest, CreatesThePoolOnlyWhenItIsMissing) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(811, pb::State()),
                          AtRevision(812, StateOf(R"(pools { name: "web" })"))};
  daemon.apply_answers = {Accepted({Added(1), Added(1)}), Accepted({Added(1)})};

  const Outcome first = RunLine(&daemon, {"add", "web", "10.0.0.5:80", "--create-pool"});
  const Outcome second = RunLine(&daemon, {"add", "web", "10.0.0.6:80", "--create-pool"});

  EXPECT_EQ(first.out,
            "pool/web added (revision 812, applied)\n"
            "backend/web/10.0.0.5:80 added (revision 812, applied)\n");
  EXPECT_EQ(second.out, "backend/web/10.0.0.6:80 added (revision 812, applied)\n");
}

TEST(AddTest, ReadsAgainWhenAnotherCreatedThePoolMeanwhile) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(811, pb::State()),
                          AtRevision(812, StateOf(R"(pools { name: "web" })"))};
  daemon.apply_answers = {
      DaemonError(absl::StatusCode::kAborted, "REVISION_MISMATCH", "pool/web is there"),
      Accepted({Added(1)})};

  const Outcome outcome = RunLine(&daemon, {"add", "web", "10.0.0.5:80", "--create-pool"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_EQ(daemon.applied.size(), 2u);
  EXPECT_EQ(daemon.applied[1].ops_size(), 1);
}

TEST(AddTest, SaysThatAnObjectExists) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {
      DaemonError(absl::StatusCode::kAborted, "REVISION_MISMATCH", "expected 0")};

  const Outcome outcome =
      RunLine(&daemon, {"add", "listener", "http", "0.0.0.0:80", "--pool", "web"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kConflict);
  EXPECT_EQ(outcome.err,
            "error: ALREADY_EXISTS: listener/http exists; change it with \"sidelb-cli set listener "
            "http\"\n");
}

TEST(SetTest, GivesUpWhenOthersKeepComingBetween) {
  ScriptedDaemon daemon;
  pb::State state;
  *state.add_backends() = MakeBackend("web", "10.0.0.5:80", {"api:cli"});
  for (int i = 0; i < 10; ++i) {
    daemon.state_answers.push_back(AtRevision(800 + i, state));
    daemon.apply_answers.push_back(
        DaemonError(absl::StatusCode::kAborted, "REVISION_MISMATCH", "stale"));
  }

  const Outcome outcome = RunLine(&daemon, {"set", "web", "10.0.0.5:80", "--weight", "5"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kConflict);
  ASSERT_EQ(daemon.applied.size(), 5u);
  EXPECT_EQ(daemon.applied[4].expected_revision(), 804u);
}

TEST(SetTest, SaysThatAForeignWeightIsOverridden) {
  ScriptedDaemon daemon;
  pb::State state;
  *state.add_backends() = MakeBackend("web", "10.0.0.5:80", {"static"});
  daemon.state_answers = {AtRevision(811, state), AtRevision(811, state)};
  daemon.apply_answers = {Accepted({Updated(1)}), Accepted({Updated(1)})};

  EXPECT_EQ(RunLine(&daemon, {"set", "web", "10.0.0.5:80", "--weight", "5"}).out,
            "backend/web/10.0.0.5:80 overridden to weight 5 (revision 812, applied)\n");
  EXPECT_EQ(RunLine(&daemon, {"set", "web", "10.0.0.5:80", "--weight", "default"}).out,
            "backend/web/10.0.0.5:80 freed of its weight override (revision 812, applied)\n");
}

TEST(OverrideTest, PrintsTheStateThatWasImposed) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Updated(1), Unchanged(1)})};

  const Outcome outcome = RunLine(&daemon, {"drain", "web", "10.0.0.5:80", "10.0.0.6:80"});

  EXPECT_EQ(outcome.out,
            "backend/web/10.0.0.5:80 draining (revision 812, applied)\n"
            "backend/web/10.0.0.6:80 unchanged (revision 812, applied)\n");
  EXPECT_TRUE(daemon.read.empty());
}

TEST(OverrideTest, ListsWhatASelectorMet) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({[] {
    pb::OpResult result = Updated(1);
    result.set_unchanged(1);
    return result;
  }()})};
  daemon.state_answers = {AtRevision(812, StateOf(R"(
    backends { pool: "web" address: "10.0.0.5:80" revision: 812 claims { owner: "api:cli" } }
    backends { pool: "web" address: "10.0.0.6:80" revision: 700 claims { owner: "api:cli" } }
    backends { pool: "web" address: "10.0.0.7:80" revision: 812
               status { state: BACKEND_STATE_REMOVING } })"))};

  const Outcome outcome = RunLine(&daemon, {"disable", "web", "--zone", "a"});

  EXPECT_EQ(outcome.out,
            "backend/web/10.0.0.5:80 disabled (revision 812, applied)\n"
            "backend/web/10.0.0.6:80 unchanged (revision 812, applied)\n");
  ASSERT_EQ(daemon.read.size(), 1u);
  EXPECT_EQ(daemon.read[0].filter().backends().zone(), "a");
  EXPECT_EQ(daemon.read[0].min_revision(), 812u);
}

TEST(OverrideTest, CountsWhenTheListCannotBeRead) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Updated(3)})};
  daemon.state_answers = {absl::UnavailableError("gone")};

  const Outcome outcome = RunLine(&daemon, {"drain", "web", "--all"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_EQ(outcome.out, "backends/web 3 draining (revision 812, applied)\n");
}

TEST(OverrideTest, FailsWhenNothingMatches) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({pb::OpResult()}), Accepted({Updated(1), pb::OpResult()})};
  daemon.state_answers = {AtRevision(812, pb::State())};

  const Outcome by_zone = RunLine(&daemon, {"drain", "web", "--zone", "nowhere"});
  const Outcome by_address = RunLine(&daemon, {"drain", "web", "10.0.0.5:80", "10.0.0.6:80"});

  EXPECT_EQ(by_zone.exit_code, ExitCode::kNotFound);
  EXPECT_THAT(by_zone.err, HasSubstr("BACKEND_NOT_FOUND: no backend of pool \"web\" matches"));
  EXPECT_EQ(by_address.exit_code, ExitCode::kNotFound);
  EXPECT_THAT(by_address.err, HasSubstr("pool \"web\" has no backend 10.0.0.6:80"));
}

TEST(OverrideTest, WarnsWhenTheOwnerStillDrains) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Updated(1)})};
  daemon.state_answers = {AtRevision(812, StateOf(R"(
    backends { pool: "web" address: "10.0.0.5:80" revision: 812 claims { owner: "api:nomad" }
               status { state: BACKEND_STATE_DRAINING } })"))};

  const Outcome outcome = RunLine(&daemon, {"enable", "web", "10.0.0.5:80"});

  EXPECT_EQ(outcome.out, "backend/web/10.0.0.5:80 enabled (revision 812, applied)\n");
  EXPECT_EQ(
      outcome.err,
      "warning: backend/web/10.0.0.5:80 is still draining: its owner api:nomad says so; enable "
      "--force stands over it\n");
}

TEST(ReplaceTest, ReadsStandardInputAndCounts) {
  ScriptedDaemon daemon;
  pb::OpResult result = Added(1);
  result.set_removed(2);
  result.set_unchanged(5);
  daemon.apply_answers = {Accepted({result})};

  const Outcome outcome = RunLine(&daemon, {"replace", "web", "-f", "-"}, "10.0.0.5:80 weight=7\n");

  EXPECT_EQ(outcome.out, "backends/web 1 added, 2 removed, 5 unchanged (revision 812, applied)\n");
  EXPECT_EQ(daemon.applied[0].ops(0).replace_backends().backends(0).weight(), 7u);
}

TEST(ReplaceTest, RemovesAllOnlyWhenThatIsMeant) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Removed(2)})};

  const Outcome refused = RunLine(&daemon, {"replace", "web", "-f", "-"}, "");
  const Outcome meant = RunLine(&daemon, {"replace", "web", "-f", "-", "--allow-empty"}, "");

  EXPECT_EQ(refused.exit_code, ExitCode::kUsage);
  EXPECT_THAT(refused.err, HasSubstr("--allow-empty"));
  EXPECT_EQ(meant.exit_code, ExitCode::kOk);
  EXPECT_EQ(daemon.applied.size(), 1u);
}

TEST(ApplyTest, MakesOneRequestOfAState) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Updated(1), Added(2), Unchanged(1)})};

  const Outcome outcome = RunLine(&daemon, {"apply", "-f", "-"}, R"({
    "listeners": [{"name": "http", "address": "0.0.0.0:80", "pool": "web"}],
    "pools": [{"name": "web"}],
    "backends": [{"pool": "web", "address": "10.0.0.5:80"},
                 {"pool": "web", "address": "10.0.0.6:80"}]})");

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_EQ(daemon.applied.size(), 1u);
  EXPECT_EQ(outcome.out,
            "pool/web updated (revision 812, applied)\n"
            "backends/web 2 added (revision 812, applied)\n"
            "listener/http unchanged (revision 812, applied)\n");
}

TEST(ApplyTest, PlansThePruningAgainAfterAnotherWriter) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(811, StateOf(R"(pools { name: "old" })")),
                          AtRevision(812, pb::State())};
  daemon.apply_answers = {DaemonError(absl::StatusCode::kAborted, "REVISION_MISMATCH", "stale"),
                          Accepted({Added(1)})};

  const Outcome outcome =
      RunLine(&daemon, {"apply", "-f", "-", "--prune"}, R"({"pools": [{"name": "web"}]})");

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  ASSERT_EQ(daemon.applied.size(), 2u);
  EXPECT_EQ(daemon.applied[0].ops_size(), 2);
  EXPECT_EQ(daemon.applied[1].ops_size(), 1);
  EXPECT_EQ(daemon.applied[1].expected_revision(), 812u);
}

TEST(ApplyTest, AsksNothingOfTheDaemonWhenTheFileIsWrong) {
  ScriptedDaemon daemon;

  const Outcome outcome = RunLine(&daemon, {"apply", "-f", "-", "--prune"}, "{\"pools\": [\n}");

  EXPECT_EQ(outcome.exit_code, ExitCode::kUsage);
  EXPECT_EQ(outcome.err, "error: USAGE: standard input: line 2, column 1: expected a value\n");
  EXPECT_TRUE(daemon.read.empty());
  EXPECT_TRUE(daemon.applied.empty());
}

TEST(GetTest, PrintsBackendsWithinEightyColumns) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, StateOf(R"(
    pools { name: "web" }
    backends { pool: "web" address: "10.0.0.5:80" claims { owner: "static" } claims { owner: "api:cli" }
               status { state: BACKEND_STATE_SERVING health: HEALTH_HEALTHY active_connections: 12
                        effective_weight: 50 } }
    backends { pool: "web" address: "[2001:db8::5]:80"
               status { state: BACKEND_STATE_REMOVING health: HEALTH_UNKNOWN } })"))};

  const Outcome outcome = RunLine(&daemon, {"get", "backends"});

  EXPECT_EQ(outcome.out,
            "POOL  ADDRESS           STATE     HEALTH   WEIGHT  SESSIONS  OWNER\n"
            "web   10.0.0.5:80       serving   healthy  50      12        static+1\n"
            "web   [2001:db8::5]:80  removing  unknown  100     0         <none>\n");
}

TEST(GetTest, PrintsMoreWithWide) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, StateOf(R"(
    pools { name: "web" }
    backends { pool: "web" address: "10.0.0.5:80" revision: 7 claims { owner: "static" }
               effective { zone: "a" tags { key: "b" value: "2" } tags { key: "a" value: "1" } }
               override { admin_state: ADMIN_STATE_DRAINING weight: 3 }
               status { state: BACKEND_STATE_DRAINING ineligible_reason: INELIGIBLE_REASON_DRAINING } })"))};

  const Outcome outcome = RunLine(&daemon, {"get", "backends", "-o", "wide"});

  EXPECT_THAT(outcome.out, HasSubstr("draining,weight=3"));
  EXPECT_THAT(outcome.out, HasSubstr("a=1,b=2"));
  EXPECT_THAT(outcome.out, HasSubstr("unlimited"));
}

TEST(GetTest, PrintsPoolsAndListeners) {
  ScriptedDaemon daemon;
  daemon.state_answers = {
      AtRevision(812,
                 StateOf(R"(pools { name: "web" status { total: 3 serving: 2 draining: 1 } })")),
      AtRevision(812, StateOf(R"(
        listeners { name: "http" address: "127.0.0.1:0" pool: "web"
                    status { bound: true bound_address: "127.0.0.1:4711" active_connections: 5 } }
        listeners { name: "off" address: "0.0.0.0:81" pool: "web" disabled: true })"))};

  const Outcome pools = RunLine(&daemon, {"get", "pools"});
  const Outcome listeners = RunLine(&daemon, {"get", "listeners"});

  EXPECT_EQ(pools.out,
            "NAME  MODE         BACKENDS  SERVING  DRAINING  UNHEALTHY  DISABLED  SESSIONS\n"
            "web   round-robin  3         2        1         0          0         0\n");
  EXPECT_EQ(listeners.out,
            "NAME  ADDRESS         PROTOCOL  POOL  STATE     SESSIONS\n"
            "http  127.0.0.1:4711  tcp       web   bound     5\n"
            "off   0.0.0.0:81      tcp       web   disabled  0\n");
}

TEST(GetTest, PrintsJsonThatParsesBack) {
  ScriptedDaemon daemon;
  const pb::State state = StateOf(R"(pools { name: "web" } pools { name: "api" })");
  daemon.state_answers = {AtRevision(812, state), AtRevision(812, state)};

  const Outcome json = RunLine(&daemon, {"get", "pools", "-o", "json"});
  const Outcome lines = RunLine(&daemon, {"get", "pools", "-o", "jsonl"});

  pb::State parsed;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json.out, &parsed).ok()) << json.out;
  EXPECT_EQ(parsed.pools_size(), 2);
  EXPECT_EQ(std::count(lines.out.begin(), lines.out.end(), '\n'), 2);
}

TEST(GetTest, TellsAnEmptyPoolFromAWrongName) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, StateOf(R"(pools { name: "web" })")),
                          AtRevision(812, pb::State())};

  const Outcome empty = RunLine(&daemon, {"get", "backends", "web"});
  const Outcome wrong = RunLine(&daemon, {"get", "backends", "wbe"});

  EXPECT_EQ(empty.exit_code, ExitCode::kOk);
  EXPECT_EQ(empty.err, "no backends\n");
  EXPECT_EQ(wrong.exit_code, ExitCode::kNotFound);
  EXPECT_EQ(wrong.err, "error: POOL_NOT_FOUND: there is no pool \"wbe\"\n");
}

TEST(DescribeTest, ShowsWhyABackendTakesNoSession) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, StateOf(R"(
    pools { name: "web" }
    backends { pool: "web" address: "10.0.0.5:80" revision: 7
               claims { owner: "static" spec { weight: 9 } }
               override { admin_state: ADMIN_STATE_DRAINING drain { timeout { seconds: 60 } }
                          set_by: "api:cli" reason: "new kernel" }
               status { state: BACKEND_STATE_DRAINING active_connections: 3
                        ineligible_reason: INELIGIBLE_REASON_DRAINING } })"))};

  const Outcome outcome = RunLine(&daemon, {"describe", "web", "10.0.0.5:80"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_THAT(outcome.out, HasSubstr("Takes sessions:  no: draining\n"));
  EXPECT_THAT(outcome.out,
              HasSubstr("Override:        draining (1m,reset) by api:cli: new kernel\n"));
  EXPECT_THAT(outcome.out, HasSubstr("static  9"));
}

TEST(DescribeTest, ShowsAPoolWithItsListenersAndBackends) {
  ScriptedDaemon daemon;
  daemon.state_answers = {
      AtRevision(812, StateOf(R"(
        pools { name: "web" status { total: 1 serving: 1 } }
        backends { pool: "web" address: "10.0.0.5:80" })")),
      AtRevision(812, StateOf(R"(listeners { name: "http" address: "0.0.0.0:80" pool: "web" }
                                 listeners { name: "x" address: "0.0.0.0:81" pool: "other" })"))};

  const Outcome outcome = RunLine(&daemon, {"describe", "web"});

  EXPECT_THAT(outcome.out, HasSubstr("Listeners:  http (0.0.0.0:80)\n"));
  EXPECT_THAT(outcome.out, HasSubstr("1 serving, 0 draining"));
  EXPECT_THAT(outcome.out, HasSubstr("10.0.0.5:80"));
}

TEST(DescribeTest, ExitsWithFiveForWhatIsMissing) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, pb::State()),
                          AtRevision(812, StateOf(R"(pools { name: "web" })")),
                          AtRevision(812, pb::State())};

  const Outcome pool = RunLine(&daemon, {"describe", "web"});
  const Outcome backend = RunLine(&daemon, {"describe", "web", "10.0.0.5:80"});
  const Outcome listener = RunLine(&daemon, {"describe", "listener", "http"});

  EXPECT_EQ(pool.exit_code, ExitCode::kNotFound);
  EXPECT_THAT(pool.err, HasSubstr("POOL_NOT_FOUND"));
  EXPECT_EQ(backend.exit_code, ExitCode::kNotFound);
  EXPECT_THAT(backend.err, HasSubstr("BACKEND_NOT_FOUND"));
  EXPECT_EQ(listener.exit_code, ExitCode::kNotFound);
  EXPECT_THAT(listener.err, HasSubstr("LISTENER_NOT_FOUND"));
}

TEST(ExportTest, PrintsWhatApplyReads) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, StateOf(R"(
    pools { name: "web" revision: 3 }
    backends { pool: "web" address: "10.0.0.5:80" revision: 4
               claims { owner: "api:cli" spec { address: "10.0.0.5:80" } } })"))};
  daemon.apply_answers = {Accepted({Unchanged(1), Unchanged(1)})};

  const Outcome exported = RunLine(&daemon, {"export"});
  const Outcome applied = RunLine(&daemon, {"apply", "-f", "-"}, exported.out);

  EXPECT_EQ(exported.out.find("revision"), std::string::npos);
  EXPECT_EQ(applied.exit_code, ExitCode::kOk);
  EXPECT_EQ(daemon.applied[0].ops_size(), 2);
  EXPECT_EQ(daemon.read[0].view(), pb::VIEW_CONFIG);
}

TEST(InfoTest, PrintsTheDaemonsState) {
  ScriptedDaemon daemon;

  const Outcome outcome = RunLine(&daemon, {"info"});

  EXPECT_THAT(outcome.out, HasSubstr("Version:       1.2.3\n"));
  EXPECT_THAT(outcome.out, HasSubstr("State:         serving\n"));
}

TEST(VersionTest, NeedsNoDaemon) {
  ScriptedDaemon daemon;

  EXPECT_THAT(RunLine(&daemon, {"version"}).out, testing::StartsWith("sidelb-cli "));
}

TEST(ObjectAtTest, FindsTheObjectOfAFieldPath) {
  pb::ApplyRequest request;
  pb::BackendSet* set = request.add_ops()->mutable_upsert_backends();
  set->set_pool("web");
  set->add_backends()->set_address("10.0.0.5:80");
  request.add_ops()->set_remove_listener("old");

  EXPECT_EQ(ObjectAt(request, "ops[0].upsert_backends.backends[0].weight"),
            "backend/web/10.0.0.5:80");
  EXPECT_EQ(ObjectAt(request, "ops[1].remove_listener"), "listener/old");
  EXPECT_EQ(ObjectAt(request, "ops[9].remove_listener"), "");
  EXPECT_EQ(ObjectAt(request, "ops[x]"), "");
  EXPECT_EQ(ObjectAt(request, "owner"), "");
}

}  // namespace
}  // namespace sidelb::client
