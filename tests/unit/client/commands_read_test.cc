// Command lines that read, against a scripted daemon: what is printed, the exit code.
#include "client/cli/parse_arguments.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::HasSubstr;

TEST(GetTest, PrintsBackendsWithinEightyColumns) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, Parsed<pb::State>(R"(
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
  daemon.state_answers = {AtRevision(812, Parsed<pb::State>(R"(
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
      AtRevision(812, Parsed<pb::State>(
                          R"(pools { name: "web" status { total: 3 serving: 2 draining: 1 } })")),
      AtRevision(812, Parsed<pb::State>(R"(
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
  const pb::State state = Parsed<pb::State>(R"(pools { name: "web" } pools { name: "api" })");
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
  daemon.state_answers = {AtRevision(812, Parsed<pb::State>(R"(pools { name: "web" })")),
                          AtRevision(812, pb::State())};

  const Outcome empty = RunLine(&daemon, {"get", "backends", "web"});
  const Outcome wrong = RunLine(&daemon, {"get", "backends", "wbe"});

  EXPECT_EQ(empty.exit_code, ExitCode::kOk);
  EXPECT_EQ(empty.err, "no backends\n");
  EXPECT_EQ(wrong.exit_code, ExitCode::kNotFound);
  EXPECT_EQ(wrong.err, "error: POOL_NOT_FOUND: there is no pool \"wbe\"\n");
}

// What a pool with two IPs reads as.
pb::State Grouped(const std::string& only = "") {
  pb::State state = Parsed<pb::State>(R"(
    pools { name: "web" group_by_ip: true mode: MODE_MAGLEV hash_key: HASH_KEY_SOURCE_IP_PORT }
    backends { pool: "web" address: "10.0.0.5:80" status { active_connections: 3 } }
    backends { pool: "web" address: "10.0.0.5:81" status { active_connections: 4 } }
    backends { pool: "web" address: "[2001:db8::5]:80" status { active_connections: 9 } })");
  if (only.empty()) return state;
  auto* backends = state.mutable_backends();
  for (int i = backends->size() - 1; i >= 0; --i) {
    if (backends->Get(i).address() != only) backends->DeleteSubrange(i, 1);
  }
  return state;
}

TEST(GetTest, ShowsGroupsByIpWithTheSessionsOfAllTheirMembers) {
  for (bool is_filtered : {false, true}) {
    ScriptedDaemon daemon;
    daemon.state_answers = {AtRevision(812, Grouped(is_filtered ? "10.0.0.5:81" : ""))};
    if (is_filtered) daemon.state_answers.push_back(AtRevision(812, Grouped()));
    std::vector<std::string> words = {"get", "backends", "-o", "wide"};
    if (is_filtered) words.insert(words.end(), {"--zone", "a"});

    const Outcome outcome = RunLine(&daemon, words);

    const size_t ip = outcome.out.find("IP-GROUP");
    const size_t sessions = outcome.out.find("IP-SESSIONS");
    ASSERT_NE(ip, std::string::npos) << outcome.out << outcome.err;
    const size_t row = outcome.out.rfind('\n', outcome.out.find("10.0.0.5:81")) + 1;
    EXPECT_EQ(outcome.out.substr(row + ip, 8), "10.0.0.5") << outcome.out;
    EXPECT_EQ(outcome.out.substr(row + sessions, 2), "7 ") << outcome.out;
  }
}

TEST(DescribeTest, ShowsGroupsByIpAndTheHashKey) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, Grouped()), AtRevision(812, pb::State()),
                          AtRevision(812, Grouped("[2001:db8::5]:80")), AtRevision(812, Grouped())};

  const Outcome pool = RunLine(&daemon, {"describe", "web"});
  const Outcome backend = RunLine(&daemon, {"describe", "web", "[2001:db8::5]:80"});

  EXPECT_THAT(pool.out, HasSubstr("by source-ip-port, 65537(default) slots"));
  EXPECT_THAT(pool.out, HasSubstr("by IP: 2 groups"));
  EXPECT_THAT(pool.out, HasSubstr("10.0.0.5     2         7\n"));
  EXPECT_THAT(backend.out, HasSubstr("2001:db8::5: 1 backend, 9 sessions"));
}

TEST(DescribeTest, ShowsWhyABackendTakesNoSession) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, Parsed<pb::State>(R"(
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
      AtRevision(812, Parsed<pb::State>(R"(
        pools { name: "web" status { total: 1 serving: 1 }
                ring_domains { domain: "web.example" port: 80 }
                ring_domains { domain: "_web._tcp.example" record: RECORD_TYPE_SRV } }
        backends { pool: "web" address: "10.0.0.5:80" })")),
      AtRevision(812,
                 Parsed<pb::State>(R"(listeners { name: "http" address: "0.0.0.0:80" pool: "web" }
                                 listeners { name: "x" address: "0.0.0.0:81" pool: "other" })"))};

  const Outcome outcome = RunLine(&daemon, {"describe", "web"});

  EXPECT_THAT(outcome.out, HasSubstr("Listeners:     http (0.0.0.0:80)\n"));
  EXPECT_THAT(outcome.out, HasSubstr("1 serving, 0 draining"));
  EXPECT_THAT(outcome.out, HasSubstr("Ring domain:   web.example:80\n"));
  EXPECT_THAT(outcome.out, HasSubstr("Ring domain:   _web._tcp.example (srv)\n"));
  EXPECT_THAT(outcome.out, HasSubstr("10.0.0.5:80"));
}

TEST(DescribeTest, ExitsWithFiveForWhatIsMissing) {
  ScriptedDaemon daemon;
  daemon.state_answers = {AtRevision(812, pb::State()),
                          AtRevision(812, Parsed<pb::State>(R"(pools { name: "web" })")),
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
  daemon.state_answers = {AtRevision(812, Parsed<pb::State>(R"(
    pools { name: "web" revision: 3 }
    backends { pool: "web" address: "10.0.0.5:80" revision: 4
               claims { owner: "api:cli" spec { address: "10.0.0.5:80" } } })"))};
  daemon.apply_answers = {Accepted({Unchanged(2)})};

  const Outcome exported = RunLine(&daemon, {"export"});
  const Outcome applied = RunLine(&daemon, {"apply", "-f", "-"}, exported.out);

  EXPECT_EQ(exported.out.find("revision"), std::string::npos);
  EXPECT_EQ(applied.exit_code, ExitCode::kOk);
  ASSERT_EQ(daemon.applied[0].ops_size(), 1);
  EXPECT_EQ(daemon.applied[0].ops(0).import_state().state().backends(0).claims(0).owner(),
            "api:cli");
  EXPECT_EQ(applied.out, "state 2 unchanged (revision 812, applied)\n");
  EXPECT_EQ(daemon.read[0].view(), pb::VIEW_CONFIG);
}

TEST(InfoTest, PrintsTheDaemonsState) {
  ScriptedDaemon daemon;

  const Outcome outcome = RunLine(&daemon, {"info"});

  EXPECT_THAT(outcome.out, HasSubstr("Version:   1.2.3\n"));
  EXPECT_THAT(outcome.out, HasSubstr("State:     serving\n"));
  EXPECT_THAT(outcome.out, HasSubstr("Can rpc:   Apply, GetInfo\n"));
}

TEST(VersionTest, NeedsNoDaemon) {
  ScriptedDaemon daemon;

  EXPECT_THAT(RunLine(&daemon, {"version"}).out, testing::StartsWith("sidelb-cli "));
  const auto flag = ParseArguments({"--version"}, [](const char*) { return std::nullopt; });
  ASSERT_TRUE(flag.ok());
  EXPECT_EQ(std::get<HelpText>(*flag).text, RunLine(&daemon, {"version"}).out);
}

}  // namespace
}  // namespace sidelb::client
