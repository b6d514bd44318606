// --ring-domain and --no-ring-domains.
#include "client/cli/attributes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

// What `set pool web` with these options makes of `pool`.
pb::Pool After(const std::string& pool, std::vector<std::string> options) {
  ScriptedDaemon daemon;
  pb::State state;
  *state.add_pools() = Parsed<pb::Pool>(pool);
  daemon.state_answers = {AtRevision(5, state)};
  daemon.apply_answers = {Accepted({Updated(1)})};
  options.insert(options.begin(), {"set", "pool", "web"});
  const Outcome outcome = RunLine(&daemon, options);
  EXPECT_EQ(outcome.exit_code, ExitCode::kOk) << outcome.err;
  if (daemon.applied.empty()) return {};
  return daemon.applied[0].ops(0).put_pool();
}

constexpr char kTwo[] = R"pb(
  name: "web"
  ring_domains { domain: "a.example" port: 80 }
  ring_domains { domain: "b.example" port: 81 })pb";

TEST(RingOptionsTest, AddsADomainWithItsAttributes) {
  const pb::Pool pool =
      After(R"pb(name: "web")pb", {"--ring-domain",
                                   "a.example:80,record=aaaa,min-ttl=2s,max-ttl=1m,weight=5,"
                                   "priority=1,max-connections=9,zone=z,group=g",
                                   "--ring-domain", "_http._tcp.example,record=srv"});

  ASSERT_THAT(pool.ring_domains(), SizeIs(2));
  EXPECT_EQ(pool.ring_domains(0).SerializeAsString(),
            Parsed<pb::RingDomain>(R"pb(
              domain: "a.example"
              port: 80
              min_ttl { seconds: 2 }
              max_ttl { seconds: 60 }
              record: RECORD_TYPE_AAAA
              defaults { weight: 5 priority: 1 max_connections: 9 zone: "z" group: "g" })pb")
                .SerializeAsString());
  EXPECT_EQ(pool.ring_domains(1).record(), pb::RECORD_TYPE_SRV);
  EXPECT_EQ(pool.ring_domains(1).port(), 0u);
}

TEST(RingOptionsTest, ReplacesRemovesAndClears) {
  const pb::Pool replaced = After(kTwo, {"--ring-domain", "a.example:90"});
  ASSERT_THAT(replaced.ring_domains(), SizeIs(2));
  EXPECT_EQ(replaced.ring_domains(0).port(), 90u);

  const pb::Pool removed = After(kTwo, {"--ring-domain", "a.example-"});
  ASSERT_THAT(removed.ring_domains(), SizeIs(1));
  EXPECT_EQ(removed.ring_domains(0).domain(), "b.example");

  EXPECT_THAT(After(kTwo, {"--no-ring-domains"}).ring_domains(), SizeIs(0));
  const pb::Pool exchanged = After(kTwo, {"--ring-domain", "c.example:80", "--no-ring-domains"});
  ASSERT_THAT(exchanged.ring_domains(), SizeIs(1));
  EXPECT_EQ(exchanged.ring_domains(0).domain(), "c.example");

  EXPECT_THAT(After(kTwo, {"--mode", "p2c"}).ring_domains(), SizeIs(2));
}

TEST(RingOptionsTest, RefusesWhatIsNoDomain) {
  ScriptedDaemon daemon;
  const auto error = [&daemon](const std::string& text) {
    const Outcome outcome = RunLine(&daemon, {"add", "pool", "web", "--ring-domain", text});
    EXPECT_EQ(outcome.exit_code, ExitCode::kUsage) << text;
    return outcome.err;
  };

  EXPECT_THAT(error("a.example"), HasSubstr("has no port"));
  EXPECT_THAT(error(":80"), HasSubstr("names no domain"));
  EXPECT_THAT(error("a.example:0"), HasSubstr("from 1 to 65535"));
  EXPECT_THAT(error("a.example:80,ttl=1s"),
              HasSubstr("\"ttl=1s\" is not allowed; allowed: record="));
  EXPECT_THAT(error("a.example:80,record=mx"), HasSubstr("allowed: a, aaaa, a-and-aaaa, srv"));
  EXPECT_THAT(error("a.example:80,weight=x"), HasSubstr("weight: "));
}

}  // namespace
}  // namespace sidelb::client
