// Counters as tables and CSV, and their numbers.
#include "client/cli/stats_output.h"

#include "client/cli/numbers.h"
#include "gmock/gmock.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

pb::GetStatsResponse Stats() {
  return Parsed<pb::GetStatsResponse>(R"(
    rows { kind: OBJECT_KIND_LISTENER name: "http" active: 7 peak_active: 9 total: 1234567
           bytes_in: 999 bytes_out: 3450000 rejected: 2 }
    rows { kind: OBJECT_KIND_POOL name: "web" active: 7 total: 1234 connect_errors: 3 retries: 2 }
    rows { kind: OBJECT_KIND_BACKEND name: "web" address: "10.0.0.5:80" active: 4 peak_active: 6
           total: 1000 bytes_in: 10 bytes_out: 20 connect_errors: 1 selected: 1001 probes: 50
           probes_failed: 5 connect_latency_p50 { nanos: 850000 }
           connect_latency_p99 { nanos: 4250000 } }
    rows { kind: OBJECT_KIND_BACKEND name: "web" address: "[2001:db8::5]:80" })");
}

TEST(NumbersTest, HaveAtMostThreeDigitsAndNeverClaimTooMuch) {
  EXPECT_EQ(HumanCount(0), "0");
  EXPECT_EQ(HumanCount(999), "999");
  EXPECT_EQ(HumanCount(1000), "1.0k");
  EXPECT_EQ(HumanCount(1299), "1.2k");
  EXPECT_EQ(HumanCount(9999), "9.9k");
  EXPECT_EQ(HumanCount(99'999), "99k");
  EXPECT_EQ(HumanCount(999'999), "999k");
  EXPECT_EQ(HumanCount(0.5), "0.5");
  EXPECT_EQ(HumanBytes(0), "0B");
  EXPECT_EQ(HumanBytes(3'450'000), "3.4MB");
  EXPECT_EQ(HumanBytes(UINT64_MAX), "18EB");
  EXPECT_EQ(HumanBitRate(11.6e9), "11Gbit/s");
}

TEST(StatsTableTest, IsAlignedForPeople) {
  EXPECT_EQ(
      StatsTable(Stats(), pb::OBJECT_KIND_LISTENER, NumberStyle::kHuman, StatsColumns::kDefault)
          .Render(Colour::kNever),
      "LISTENER  SESSIONS  PEAK  TOTAL    IN    OUT  REJECTED\n"
      "http             7     9   1.2M  999B  3.4MB         2\n");
  EXPECT_EQ(
      StatsTable(Stats(), pb::OBJECT_KIND_BACKEND, NumberStyle::kHuman, StatsColumns::kDefault)
          .Render(Colour::kNever),
      "POOL  ADDRESS           SESSIONS  PEAK  TOTAL   IN  OUT  CONN-ERR  RETRIES  TIMEOUTS  RESETS"
      "    P50    P99\n"
      "web   10.0.0.5:80              4     6   1.0k  10B  20B         1        0         0       0"
      "  850us  4.2ms\n"
      "web   [2001:db8::5]:80         0     0      0   0B   0B         0        0         0       0"
      "      -      -\n");
}

TEST(StatsTableTest, HasPlainNumbersWhenTheyMustBeExact) {
  EXPECT_EQ(
      StatsTable(Stats(), pb::OBJECT_KIND_LISTENER, NumberStyle::kExact, StatsColumns::kDefault)
          .Render(Colour::kNever),
      "LISTENER  SESSIONS  PEAK    TOTAL   IN      OUT  REJECTED\n"
      "http             7     9  1234567  999  3450000         2\n");
}

TEST(StatsCsvTest, HasTheColumnsOfHaproxy) {
  const pb::State state = Parsed<pb::State>(R"(
    listeners { name: "http" max_connections: 500 status { bound: true } }
    pools { name: "web" }
    backends { pool: "web" address: "10.0.0.5:80"
               effective { weight: 50 max_connections: 9 }
               status { state: BACKEND_STATE_SERVING health: HEALTH_HEALTHY
                        state_change_time { seconds: 1000 } } }
    backends { pool: "web" address: "[2001:db8::5]:80" effective { priority: 1 }
               status { state: BACKEND_STATE_DRAINING } })");

  EXPECT_EQ(StatsCsv(Stats(), state, absl::FromUnixSeconds(1060)),
            "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,"
            "wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,"
            "sid,throttle,lbtot,tracked,type\n"
            "http,FRONTEND,,,7,9,500,1234567,999,3450000,,,,,,,,OPEN,,,,,,,,,,,,,,,0\n"
            "web,BACKEND,,,7,0,,1234,0,0,,,,3,,2,,UP,,1,0,,,,,,,,,,0,,1\n"
            "web,10.0.0.5:80,,,4,6,9,1000,10,20,,,,1,,0,,UP,50,1,0,5,,60,,,,,,,1001,,2\n"
            "web,[2001:db8::5]:80,,,0,0,,0,0,0,,,,0,,0,,DRAIN,100,0,1,0,,,,,,,,,0,,2\n");
}

TEST(StatsCommandTest, SelectsByNameAndTellsWrongOnes) {
  ScriptedDaemon daemon;
  daemon.stats_answers = {Stats(), Stats(), Stats()};

  const Outcome listener = RunLine(&daemon, {"stats", "http"});
  const Outcome json = RunLine(&daemon, {"stats", "web", "-o", "json"});
  const Outcome wrong = RunLine(&daemon, {"stats", "wbe"});

  EXPECT_THAT(listener.out, testing::StartsWith("LISTENER"));
  EXPECT_THAT(listener.out, testing::Not(testing::HasSubstr("POOL")));
  EXPECT_THAT(json.out, testing::HasSubstr("\"bytesOut\": \"20\""));
  EXPECT_THAT(json.out, testing::Not(testing::HasSubstr("\"http\"")));
  EXPECT_EQ(wrong.exit_code, ExitCode::kNotFound);
  EXPECT_EQ(wrong.err, "error: NOT_FOUND: there is no pool or listener \"wbe\"\n");
}

TEST(StatsCommandTest, PrintsCsvWithTheStates) {
  ScriptedDaemon daemon;
  daemon.stats_answers = {Stats()};
  daemon.state_answers = {
      AtRevision(812, Parsed<pb::State>(R"(backends { pool: "web" address: "10.0.0.5:80"
                                status { state: BACKEND_STATE_DISABLED } })"))};

  EXPECT_THAT(RunLine(&daemon, {"stats", "-o", "csv"}).out, testing::HasSubstr(",MAINT,"));
}

}  // namespace
}  // namespace sidelb::client
