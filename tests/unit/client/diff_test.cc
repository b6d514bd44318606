// diff: what a file would change, against a daemon that the test scripts.
#include "client/cli/state_diff.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kCurrent[] = R"pb(
  listeners { name: "http" address: "0.0.0.0:80" protocol: PROTOCOL_TCP pool: "web" revision: 7 }
  pools {
    name: "web"
    mode: MODE_ROUND_ROBIN
    revision: 8
    drain { timeout { seconds: 30 } }
    ring_domains { domain: "a.example" port: 80 }
  }
  backends {
    pool: "web"
    address: "10.0.0.5:80"
    claims {
      owner: "api:cli"
      spec {
        address: "10.0.0.5:80"
        weight: 5
        tags { key: "release" value: "7" }
      }
    }
    override { admin_state: ADMIN_STATE_DRAINING set_by: "api:ops" }
  }
  backends {
    pool: "web"
    address: "10.0.0.6:80"
    claims {
      owner: "static"
      spec { address: "10.0.0.6:80" }
    }
  })pb";

std::vector<ObjectChange> Diff(const std::string& ops) {
  pb::ApplyRequest request = Parsed<pb::ApplyRequest>(ops);
  request.set_owner("api:cli");
  return DiffRequest(request, Parsed<pb::State>(kCurrent), nullptr);
}

// "+ pool/a", with the fields behind it: "mode: a > b".
std::vector<std::string> Lines(const std::vector<ObjectChange>& changes) {
  std::vector<std::string> lines;
  for (const ObjectChange& change : changes) {
    lines.push_back(std::string(1, "+-~"[static_cast<int>(change.kind)]) + " " + change.object);
    for (const FieldChange& field : change.fields) {
      lines.push_back(field.path + ": " + field.before + " > " + field.after);
    }
  }
  return lines;
}

TEST(DiffRequestTest, FindsNothingWhereAllIsSo) {
  EXPECT_THAT(Diff(R"pb(
                ops {
                  put_pool {
                    name: "web"
                    drain { timeout { seconds: 30 } }
                    ring_domains { domain: "a.example" port: 80 }
                  }
                }
                ops { put_listener { name: "http" address: "0.0.0.0:80" pool: "web" } }
                ops {
                  upsert_backends {
                    pool: "web"
                    backends {
                      address: "10.0.0.5:80"
                      weight: 5
                      tags { key: "release" value: "7" }
                    }
                  }
                }
                ops {
                  set_override {
                    pool: "web"
                    clear: true
                    selector { addresses: "10.0.0.5:80" }
                    override { admin_state: ADMIN_STATE_DRAINING }
                  }
                }
                ops { remove_pool { pool: "gone" } }
                ops { remove_backends { pool: "web" addresses: "10.0.0.6:80" } })pb"),
              IsEmpty());
}

TEST(DiffRequestTest, NamesTheFieldsThatChange) {
  EXPECT_THAT(
      Lines(Diff(R"pb(
        ops {
          put_pool {
            name: "web"
            mode: MODE_LEAST_CONNECTIONS
            drain { timeout { seconds: 120 } }
            ring_domains { domain: "b.example" port: 81 }
          }
        })pb")),
      ElementsAre("~ pool/web", "mode: round-robin > least-connections", "drain.timeout: 30s > 2m",
                  "ring_domains.b.example:  > {\"domain\":\"b.example\",\"port\":81}",
                  "ring_domains.a.example: {\"domain\":\"a.example\",\"port\":80} > "));
  EXPECT_THAT(Lines(Diff(R"pb(
                ops {
                  upsert_backends {
                    pool: "web"
                    backends {
                      address: "10.0.0.5:80"
                      zone: "a"
                      tags { key: "release" value: "8" }
                    }
                  }
                })pb")),
              ElementsAre("~ backend/web/10.0.0.5:80", "weight: 5 > ", "zone:  > a",
                          "tags.release: 7 > 8"));
}

TEST(DiffRequestTest, TellsWhatComesAndGoes) {
  EXPECT_THAT(Lines(Diff(R"pb(
                ops {
                  replace_backends {
                    pool: "web"
                    backends { address: "10.0.0.7:80" weight: 9 }
                  }
                }
                ops { put_pool { name: "new" } }
                ops { remove_listener: "http" })pb")),
              ElementsAre("+ backend/web/10.0.0.7:80", "weight:  > 9", "- backend/web/10.0.0.5:80",
                          "+ pool/new", "- listener/http"));
  EXPECT_THAT(Lines(Diff(R"pb(ops { remove_listener: "http" }
                              ops { remove_pool { pool: "web" force: true } })pb")),
              ElementsAre("- listener/http", "- backend/web/10.0.0.5:80",
                          "- backend/web/10.0.0.6:80", "- pool/web"));
  EXPECT_THAT(
      Lines(Diff(R"pb(
        ops { remove_backends { pool: "web" addresses: "10.0.0.6:80" any_owner: true } })pb")),
      ElementsAre("- backend/web/10.0.0.6:80"));
}

TEST(DiffRequestTest, ComparesOverrides) {
  EXPECT_THAT(Lines(Diff(R"pb(
                ops {
                  set_override {
                    pool: "web"
                    selector { all: true }
                    override { weight: 3 }
                  }
                })pb")),
              ElementsAre("~ override/web/10.0.0.5:80", "weight:  > 3",
                          "+ override/web/10.0.0.6:80", "weight:  > 3"));
  EXPECT_THAT(Lines(Diff(R"pb(
                ops {
                  set_override {
                    pool: "web"
                    selector { addresses: "10.0.0.5:80" }
                    clear_parts: OVERRIDE_PART_ADMIN_STATE
                  }
                })pb")),
              ElementsAre("- override/web/10.0.0.5:80"));
}

// Of all owners; what DNS says is none of an import's business.
TEST(DiffRequestTest, ComparesAWholeState) {
  EXPECT_THAT(Lines(Diff(R"pb(
                ops {
                  import_state {
                    replace_all: true
                    state {
                      pools { name: "api" }
                      backends {
                        pool: "web"
                        address: "10.0.0.5:80"
                        claims {
                          owner: "ring:a.example"
                          spec { weight: 9 }
                        }
                        claims {
                          owner: "api:cli"
                          spec {
                            weight: 6
                            tags { key: "release" value: "7" }
                          }
                        }
                      }
                    }
                  }
                })pb")),
              ElementsAre("+ pool/api", "~ backend/web/10.0.0.5:80", "api:cli.weight: 5 > 6",
                          "override.admin_state: draining > enabled", "- listener/http",
                          "- backend/web/10.0.0.6:80", "- pool/web"));
}

TEST(DiffRequestTest, TheDaemonHasTheLastWord) {
  const pb::ApplyRequest request =
      Parsed<pb::ApplyRequest>(R"pb(ops { put_pool { name: "web" panic_percent: 5 } })pb");
  const pb::ApplyResponse unchanged = Accepted({Unchanged(1)});

  EXPECT_THAT(DiffRequest(request, Parsed<pb::State>(kCurrent), &unchanged), IsEmpty());
}

Outcome RunDiff(ScriptedDaemon* daemon, std::vector<std::string> options, const std::string& file) {
  daemon->state_answers = {AtRevision(9, Parsed<pb::State>(kCurrent))};
  options.insert(options.begin(), {"diff", "-f", "-"});
  return RunLine(daemon, options, file);
}

constexpr char kImported[] = R"({"pools": [{"name": "web", "mode": "MODE_P2C",
  "drain": {"timeout": "30s"}, "ringDomains": [{"domain": "a.example", "port": 80}]},
  {"name": "b"}]})";

TEST(DiffTest, ShowsAlignedDifferencesAndTheBlastRadius) {
  ScriptedDaemon daemon;
  pb::ApplyResponse checked = Accepted({Updated(1), Added(1)});
  *checked.add_impacts() =
      Parsed<pb::PoolImpact>("pool: 'web' eligible_before: 6 eligible_after: 4 connections: 17");
  daemon.apply_answers = {checked};

  const Outcome outcome = RunDiff(&daemon, {}, kImported);

  EXPECT_EQ(outcome.exit_code, ExitCode::kDiffers);
  EXPECT_THAT(outcome.out, HasSubstr("~ pool/web\n    mode:  round-robin → p2c\n+ pool/b\n"));
  EXPECT_THAT(outcome.out, HasSubstr("POOL  SERVING  LOST  STAY  ADDED  SESSIONS\n"));
  ASSERT_THAT(daemon.applied, SizeIs(1));
  EXPECT_TRUE(daemon.applied[0].validate_only());
}

TEST(DiffTest, ExitsWithZeroWhenAllIsSo) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {Accepted({Unchanged(1)})};

  const Outcome outcome = RunDiff(&daemon, {}, R"({"pools": [{"name": "web"}]})");

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "no differences\n");
}

TEST(DiffTest, PrintsJson) {
  ScriptedDaemon daemon;
  pb::ApplyResponse checked = Accepted({Updated(1), Added(1)});
  *checked.add_impacts() = Parsed<pb::PoolImpact>("pool: 'web' eligible_before: 1");
  daemon.apply_answers = {checked};

  const Outcome outcome = RunDiff(&daemon, {"-o", "jsonl"}, kImported);

  EXPECT_EQ(outcome.exit_code, ExitCode::kDiffers);
  google::protobuf::Struct json;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(outcome.out, &json).ok());
  const auto& changes = json.fields().at("changes").list_value();
  ASSERT_THAT(changes.values(), SizeIs(2));
  const auto& pool = changes.values(0).struct_value().fields();
  EXPECT_EQ(pool.at("object").string_value(), "pool/web");
  EXPECT_EQ(pool.at("change").string_value(), "changed");
  const auto& field = pool.at("fields").list_value().values(0).struct_value().fields();
  EXPECT_EQ(field.at("path").string_value(), "mode");
  EXPECT_EQ(field.at("before").string_value(), "round-robin");
  EXPECT_EQ(field.at("after").string_value(), "p2c");
  const auto& impact = json.fields().at("impacts").list_value().values(0).struct_value().fields();
  EXPECT_EQ(impact.at("eligibleAfter").number_value(), 0);
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1);
}

TEST(DiffTest, SaysWhatApplyWouldRefuse) {
  ScriptedDaemon daemon;
  daemon.apply_answers = {MakeError(absl::StatusCode::kFailedPrecondition, "MASS_REMOVAL", "most"),
                          Accepted({Updated(1), Added(1)})};
  EXPECT_EQ(RunDiff(&daemon, {}, kImported).exit_code, ExitCode::kDiffers);
  EXPECT_TRUE(daemon.applied[1].allow_mass_removal());

  daemon.apply_answers = {MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", "no")};
  const Outcome refused = RunDiff(&daemon, {}, kImported);
  EXPECT_EQ(refused.exit_code, ExitCode::kRejected);
  EXPECT_THAT(refused.out, HasSubstr("~ pool/web"));
  EXPECT_THAT(refused.err, HasSubstr("BAD_FIELD"));
}

TEST(GetOwnersTest, CountsClaims) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(9, Parsed<pb::State>(kCurrent))};

  EXPECT_EQ(RunLine(&daemon, {"get", "owners"}).out,
            "OWNER    CLAIMS  POOLS  LEASE\n"
            "api:cli  1       web    <none>\n"
            "static   1       web    <none>\n");
}

}  // namespace
}  // namespace sidelb::client
