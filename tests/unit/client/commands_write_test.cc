// Command lines that write, against a scripted daemon: what is asked, what is printed, the exit
// code.
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

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

TEST(WriteTest, EachChangeHasAnIdOfItsOwn) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Added(1)}), Accepted({Added(1)}), Accepted({Added(1)}),
                          Accepted({Added(1)})};

  RunLine(&daemon, {"add", "web", "10.0.0.5:80"});
  RunLine(&daemon, {"add", "web", "10.0.0.5:80"});
  RunLine(&daemon, {"add", "web", "10.0.0.5:80", "--request-id", "deploy-7"});
  RunLine(&daemon, {"add", "web", "10.0.0.5:80", "--dry-run"});

  ASSERT_EQ(daemon.applied.size(), 4u);
  EXPECT_EQ(daemon.applied[0].request_id().size(), 32u);
  EXPECT_NE(daemon.applied[0].request_id(), daemon.applied[1].request_id());
  EXPECT_EQ(daemon.applied[2].request_id(), "deploy-7");
  EXPECT_EQ(daemon.applied[3].request_id(), "");
}

TEST(WriteTest, KeepsTheIdOfARequestInAFile) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Removed(1)})};

  RunLine(&daemon, {"apply", "-f", "-"},
          R"({"requestId": "mine", "ops": [{"removeListener": "a"}]})");

  ASSERT_EQ(daemon.applied.size(), 1u);
  EXPECT_EQ(daemon.applied[0].request_id(), "mine");
}

TEST(WriteTest, SaysThatTheAnswerIsAnEarlierOne) {
  ScriptedDaemon daemon;
  pb::ApplyResponse response = Accepted({Added(1)});
  response.set_replayed(true);
  daemon.apply_answers = {response};

  EXPECT_EQ(RunLine(&daemon, {"add", "web", "10.0.0.5:80"}).out,
            "backend/web/10.0.0.5:80 added (revision 812, applied, replayed)\n");
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
                          AtRevision(812, Parsed<pb::State>(R"(pools { name: "web" })"))};
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
                          AtRevision(812, Parsed<pb::State>(R"(pools { name: "web" })"))};
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
  daemon.state_answers = {AtRevision(812, Parsed<pb::State>(R"(
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
  daemon.state_answers = {AtRevision(812, Parsed<pb::State>(R"(
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
  daemon.state_answers = {AtRevision(811, Parsed<pb::State>(R"(pools { name: "old" })")),
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

TEST(RemoveTest, SaysThatAnObjectWasNotThere) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Unchanged(1), Removed(1)})};

  EXPECT_EQ(RunLine(&daemon, {"rm", "listener", "gone", "http"}).out,
            "listener/gone absent (revision 812, applied)\n"
            "listener/http removed (revision 812, applied)\n");
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
