#include "client/cli/compile_state.h"

#include "client/cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The ops in short: their kind and what they name.
std::vector<std::string> OpsOf(const pb::ApplyRequest& request) {
  std::vector<std::string> ops;
  for (const pb::Op& op : request.ops()) {
    switch (op.op_case()) {
      case pb::Op::kPutListener:
        ops.push_back("put listener " + op.put_listener().name());
        break;
      case pb::Op::kRemoveListener:
        ops.push_back("remove listener " + op.remove_listener());
        break;
      case pb::Op::kPutPool:
        ops.push_back("put pool " + op.put_pool().name());
        break;
      case pb::Op::kRemovePool:
        ops.push_back("remove pool " + op.remove_pool().pool());
        break;
      case pb::Op::kUpsertBackends:
        ops.push_back("upsert " + op.upsert_backends().pool() + " " +
                      std::to_string(op.upsert_backends().backends_size()));
        break;
      case pb::Op::kReplaceBackends:
        ops.push_back("replace " + op.replace_backends().pool() + " " +
                      std::to_string(op.replace_backends().backends_size()));
        break;
      case pb::Op::kSetOverride:
        ops.push_back("override " + op.set_override().pool());
        break;
      default:
        ops.push_back("other");
    }
  }
  return ops;
}

const char kFile[] = R"(
  listeners { name: "http" address: "0.0.0.0:80" pool: "web" revision: 3 status { bound: true } }
  pools { name: "web" mode: MODE_LEAST_CONNECTIONS revision: 4 status { total: 2 } }
  backends { pool: "web" address: "10.0.0.5:80" revision: 5
             claims { owner: "api:cli" spec { address: "10.0.0.5:80" weight: 7 } } }
  backends { pool: "web" address: "10.0.0.6:80" }
)";

TEST(PlanApplyStateTest, PutsPoolsThenBackendsThenListeners) {
  const auto plan = PlanApplyState(Arguments(), {"f"}, Parsed<pb::State>(kFile), std::nullopt);

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(OpsOf(plan->request),
              ElementsAre("put pool web", "upsert web 2", "put listener http"));
  EXPECT_EQ(plan->request.ops(1).upsert_backends().backends(0).weight(), 7u);
  EXPECT_EQ(plan->request.ops(1).upsert_backends().backends(1).address(), "10.0.0.6:80");
  EXPECT_FALSE(plan->request.has_expected_revision());
}

TEST(PlanApplyStateTest, LeavesOutWhatIsOutputOnly) {
  const auto plan = PlanApplyState(Arguments(), {"f"}, Parsed<pb::State>(kFile), std::nullopt);

  EXPECT_EQ(plan->request.ops(0).put_pool().revision(), 0u);
  EXPECT_FALSE(plan->request.ops(0).put_pool().has_status());
  EXPECT_EQ(plan->request.ops(2).put_listener().revision(), 0u);
  EXPECT_FALSE(plan->request.ops(2).put_listener().has_status());
}

TEST(PlanApplyStateTest, LeavesForeignClaimsToTheirOwners) {
  const pb::State file = Parsed<pb::State>(R"(
    backends { pool: "web" address: "10.0.0.5:80" claims { owner: "static" } claims { owner: "api:cli" } }
    backends { pool: "web" address: "10.0.0.6:80" claims { owner: "static" } }
    backends { pool: "web" address: "10.0.0.7:80" claims { owner: "api:nomad" } })");

  const auto plan = PlanApplyState(Arguments(), {"f"}, file, std::nullopt);

  EXPECT_THAT(OpsOf(plan->request), ElementsAre("upsert web 1"));
  EXPECT_THAT(
      plan->warnings,
      ElementsAre("1 claim of api:nomad left out: apply with --owner api:nomad, or take "
                  "over with --adopt",
                  "2 claims of static left out: leave that to its source, or take over with "
                  "--adopt"));
}

TEST(PlanApplyStateTest, AdoptsTheFirstClaimOfEach) {
  const pb::State file = Parsed<pb::State>(R"(
    backends { pool: "web" address: "10.0.0.5:80"
               claims { owner: "static" spec { weight: 3 } } claims { owner: "api:cli" spec { weight: 4 } } })");

  const auto plan = PlanApplyState(Arguments(), {"f", false, true}, file, std::nullopt);

  ASSERT_THAT(OpsOf(plan->request), ElementsAre("upsert web 1"));
  EXPECT_EQ(plan->request.ops(0).upsert_backends().backends(0).weight(), 3u);
  EXPECT_EQ(plan->request.ops(0).upsert_backends().backends(0).address(), "10.0.0.5:80");
  EXPECT_THAT(plan->warnings, IsEmpty());
}

TEST(PlanApplyStateTest, MakesOneOpOfEqualOverrides) {
  const pb::State file = Parsed<pb::State>(R"(
    backends { pool: "web" address: "10.0.0.5:80" override { admin_state: ADMIN_STATE_DRAINING set_by: "api:a" } }
    backends { pool: "web" address: "10.0.0.6:80" override { admin_state: ADMIN_STATE_DRAINING set_by: "api:b" } }
    backends { pool: "web" address: "10.0.0.7:80" override { weight: 0 } })");

  const auto plan = PlanApplyState(Arguments(), {"f"}, file, std::nullopt);

  ASSERT_THAT(OpsOf(plan->request), ElementsAre("upsert web 3", "override web", "override web"));
  const pb::SetOverride& drain = plan->request.ops(1).set_override();
  EXPECT_THAT(drain.selector().addresses(), ElementsAre("10.0.0.5:80", "10.0.0.6:80"));
  EXPECT_EQ(drain.override().admin_state(), pb::ADMIN_STATE_DRAINING);
  EXPECT_EQ(drain.override().set_by(), "");
  EXPECT_TRUE(drain.clear());
  EXPECT_TRUE(plan->request.ops(2).set_override().override().has_weight());
}

TEST(PlanApplyStateTest, OverridesForeignBackendsOnlyWhereTheyExist) {
  const pb::State file = Parsed<pb::State>(R"(
    backends { pool: "web" address: "10.0.0.5:80" claims { owner: "static" } override { weight: 1 } }
    backends { pool: "web" address: "10.0.0.6:80" claims { owner: "static" } override { weight: 1 } })");
  const CurrentState current = {Parsed<pb::State>(R"(
    backends { pool: "web" address: "10.0.0.6:80" claims { owner: "static" } })"),
                                812};

  const auto plan = PlanApplyState(Arguments(), {"f"}, file, current);

  EXPECT_TRUE(NeedsCurrentState(Arguments(), {"f"}, file));
  ASSERT_THAT(OpsOf(plan->request), ElementsAre("override web"));
  EXPECT_THAT(plan->request.ops(0).set_override().selector().addresses(),
              ElementsAre("10.0.0.6:80"));
  EXPECT_FALSE(plan->request.has_expected_revision());
  EXPECT_THAT(
      plan->warnings,
      ElementsAre("the override of backend/web/10.0.0.5:80 is left out: there is no such backend",
                  HasSubstr("2 claims of static left out")));
}

TEST(NeedsCurrentStateTest, OnlyToPruneAndForForeignOverrides) {
  const pb::State own = Parsed<pb::State>(R"(
    backends { pool: "web" address: "10.0.0.5:80" claims { owner: "api:cli" } override { weight: 1 } }
    backends { pool: "web" address: "10.0.0.6:80" override { weight: 1 } }
    backends { pool: "web" address: "10.0.0.7:80" claims { owner: "static" } })");

  EXPECT_FALSE(NeedsCurrentState(Arguments(), {"f"}, own));
  EXPECT_TRUE(NeedsCurrentState(Arguments(), {"f", true}, own));
}

TEST(PlanApplyStateTest, DoesNotBringBackWhatIsLeaving) {
  const pb::State file = Parsed<pb::State>(R"(
    pools { name: "web" }
    backends { pool: "web" address: "10.0.0.5:80" status { state: BACKEND_STATE_REMOVING } })");

  const auto plan = PlanApplyState(Arguments(), {"f"}, file, std::nullopt);

  EXPECT_THAT(OpsOf(plan->request), ElementsAre("put pool web"));
}

TEST(PlanApplyStateTest, PrunesWhatTheFileDoesNotName) {
  const CurrentState current = {Parsed<pb::State>(R"(
    listeners { name: "http" } listeners { name: "old" }
    pools { name: "web" } pools { name: "gone" } pools { name: "shared" } pools { name: "empty" }
    backends { pool: "gone" address: "10.0.1.1:80" claims { owner: "api:cli" } }
    backends { pool: "shared" address: "10.0.2.1:80" claims { owner: "api:cli" } claims { owner: "static" } })"),
                                812};

  const auto plan = PlanApplyState(Arguments(), {"f", true}, Parsed<pb::State>(kFile), current);

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(
      OpsOf(plan->request),
      ElementsAre("remove listener old", "put pool web", "replace shared 0", "replace web 2",
                  "put listener http", "remove pool empty", "remove pool gone"));
  EXPECT_TRUE(plan->request.ops(6).remove_pool().force());
  EXPECT_EQ(plan->request.expected_revision(), 812u);
  EXPECT_TRUE(plan->is_based_on_read);
  EXPECT_THAT(plan->warnings, ElementsAre("pool/shared is kept: static claims backends in it"));
}

TEST(PlanApplyStateTest, DoesNotPruneAPoolOfWhichTheFileNamesABackend) {
  const CurrentState current = {Parsed<pb::State>(R"(pools { name: "web" })"), 812};
  const pb::State file = Parsed<pb::State>(R"(backends { pool: "web" address: "10.0.0.5:80" })");

  const auto plan = PlanApplyState(Arguments(), {"f", true}, file, current);

  EXPECT_THAT(OpsOf(plan->request), ElementsAre("replace web 1"));
}

TEST(PlanApplyStateTest, NamesTheObjectThatIsWrong) {
  const auto error = [](const std::string& text) {
    const auto plan =
        PlanApplyState(Arguments(), {"f.json"}, Parsed<pb::State>(text), std::nullopt);
    EXPECT_EQ(ExitCodeFor(plan.status()), ExitCode::kUsage);
    return std::string(plan.status().message());
  };
  EXPECT_EQ(error(""), "f.json: state: names no object");
  EXPECT_EQ(error("pools {}"), "f.json: pools[0].name: is missing");
  EXPECT_EQ(error(R"(pools { name: "a" } pools { name: "a" })"),
            "f.json: pools[1].name: \"a\" stands twice");
  EXPECT_EQ(error(R"(listeners { name: "a" } listeners { name: "a" })"),
            "f.json: listeners[1].name: \"a\" stands twice");
  EXPECT_EQ(error(R"(backends { address: "10.0.0.5:80" })"),
            "f.json: backends[0].pool: is missing");
  EXPECT_THAT(error(R"(backends { pool: "web" address: "web-1" })"),
              HasSubstr("f.json: backends[0].address: \"web-1\" has no port"));
  EXPECT_EQ(error(R"(backends { pool: "web" address: "10.0.0.5:80" }
                     backends { pool: "web" address: "10.0.0.5:080" })"),
            "f.json: backends[1]: backend/web/10.0.0.5:80 stands also in backends[0]");
  EXPECT_EQ(error(R"(backends { pool: "web" address: "10.0.0.5:80"
                                claims { spec { address: "10.0.0.6:80" } } })"),
            "f.json: backends[0].claims[0].spec.address: \"10.0.0.6:80\" is not the backend's "
            "\"10.0.0.5:80\"");
}

TEST(IsImportedTest, WhereClaimsNameTheirOwnersAndNobodyElseIsNamed) {
  const pb::State named = Parsed<pb::State>(R"(
    backends { pool: "web" address: "10.0.0.5:80" claims { owner: "api:a" } })");
  const pb::State unnamed = Parsed<pb::State>(R"(
    backends { pool: "web" address: "10.0.0.5:80" claims { spec { weight: 3 } } })");
  Arguments as_one;
  as_one.global.owner = "api:a";

  EXPECT_TRUE(IsImported(Arguments(), {"f"}, named));
  EXPECT_FALSE(IsImported(Arguments(), {"f"}, unnamed));
  EXPECT_FALSE(IsImported(as_one, {"f"}, named));
  EXPECT_FALSE(IsImported(Arguments(), {"f", false, true}, named));
}

TEST(PlanImportTest, PutsTheWholeFileWithoutWhatTheDaemonOwns) {
  pb::State file = Parsed<pb::State>(kFile);
  file.mutable_backends(0)->mutable_claims(0)->set_revision(5);
  file.mutable_backends(0)->mutable_override()->set_weight(1);
  file.mutable_backends(0)->mutable_override()->set_set_by("api:a");
  file.mutable_backends(0)->mutable_override()->mutable_expire_time()->set_seconds(9);
  file.add_backends()->mutable_status()->set_state(pb::BACKEND_STATE_REMOVING);

  const WritePlan plan = PlanImport(Arguments(), {"f", true}, file);

  ASSERT_EQ(plan.request.ops_size(), 1);
  EXPECT_TRUE(plan.request.ops(0).import_state().replace_all());
  EXPECT_EQ(plan.request.ops(0).import_state().state().ShortDebugString(), Parsed<pb::State>(R"(
    listeners { name: "http" address: "0.0.0.0:80" pool: "web" }
    pools { name: "web" mode: MODE_LEAST_CONNECTIONS }
    backends { pool: "web" address: "10.0.0.5:80"
               claims { owner: "api:cli" spec { weight: 7 } }
               override { weight: 1 expire_time { seconds: 9 } } }
    backends { pool: "web" address: "10.0.0.6:80" })")
                                                                               .ShortDebugString());
}

TEST(PlanApplyRequestTest, LetsOptionsStandOverTheFile) {
  pb::ApplyRequest request;
  request.set_owner("api:file");
  request.set_wait(pb::WAIT_FOR_COMMITTED);
  request.add_ops()->set_remove_listener("old");
  Arguments arguments;

  const auto as_written = PlanApplyRequest(arguments, {"f"}, request);
  arguments.global.owner = "api:flag";
  arguments.write.is_dry_run = true;
  arguments.write.wait = pb::WAIT_FOR_DRAINED;
  const auto overridden = PlanApplyRequest(arguments, {"f"}, request);

  EXPECT_EQ(as_written->request.owner(), "api:file");
  EXPECT_EQ(as_written->request.wait(), pb::WAIT_FOR_COMMITTED);
  EXPECT_EQ(overridden->request.owner(), "api:flag");
  EXPECT_EQ(overridden->request.wait(), pb::WAIT_FOR_DRAINED);
  EXPECT_TRUE(overridden->request.validate_only());
  EXPECT_EQ(overridden->request.ops_size(), 1);
}

TEST(PlanApplyRequestTest, RefusesOptionsThatAreForStates) {
  pb::ApplyRequest request;
  request.add_ops()->set_remove_listener("old");

  const auto plan = PlanApplyRequest(Arguments(), {"f", true}, request);

  EXPECT_EQ(plan.status().message(), "f: ops: --prune is for states, and this is a request");
}

TEST(WithoutOutputTest, TellsTheOrderInWhichBackendsStand) {
  const pb::State exported = WithoutOutput(Parsed<pb::State>(R"(
    backends { pool: "db" address: "10.0.1.1:80" claims { owner: "api:a" order: 9 } }
    backends { pool: "web" address: "10.0.0.1:80" claims { owner: "api:a" order: 8 }
               claims { owner: "static" order: 5 } }
    backends { pool: "web" address: "10.0.0.2:80" claims { owner: "api:b" order: 7 }
               claims { owner: "api:a" order: 3 } })"));

  EXPECT_EQ(exported.ShortDebugString(), Parsed<pb::State>(R"(
    backends { pool: "db" address: "10.0.1.1:80" claims { owner: "api:a" } }
    backends { pool: "web" address: "10.0.0.2:80" claims { owner: "api:a" } claims { owner: "api:b" } }
    backends { pool: "web" address: "10.0.0.1:80" claims { owner: "api:a" }
               claims { owner: "static" } })")
                                             .ShortDebugString());
}

TEST(WithoutOutputTest, KeepsWhatCanBePutBack) {
  pb::State state = Parsed<pb::State>(kFile);
  state.mutable_backends(0)->mutable_claims(0)->set_revision(5);
  state.mutable_backends(0)->mutable_effective()->set_weight(7);
  state.mutable_backends(0)->mutable_override()->set_set_by("api:a");
  state.mutable_backends(0)->mutable_override()->set_weight(1);

  const pb::State exported = WithoutOutput(state);

  // The second backend has no claim left: it only drains.
  EXPECT_EQ(exported.ShortDebugString(), Parsed<pb::State>(R"(
    listeners { name: "http" address: "0.0.0.0:80" pool: "web" }
    pools { name: "web" mode: MODE_LEAST_CONNECTIONS }
    backends { pool: "web" address: "10.0.0.5:80"
               claims { owner: "api:cli" spec { address: "10.0.0.5:80" weight: 7 } }
               override { weight: 1 } })")
                                             .ShortDebugString());
}

}  // namespace
}  // namespace sidelb::client
