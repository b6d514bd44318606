#include "client/cli/parse_arguments.h"
#include "client/cli/attributes.h"

#include <map>

#include "client/cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sidelb::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

using Variables = std::map<std::string, std::string>;
using Words = std::vector<std::string>;

absl::StatusOr<std::variant<Arguments, HelpText>> Parse(const Words& words,
                                                        const Variables& variables = {}) {
  return ParseArguments(words, [&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

Arguments ArgumentsOf(const Words& words, const Variables& variables = {}) {
  const auto parsed = Parse(words, variables);
  if (!parsed.ok()) {
    ADD_FAILURE() << parsed.status();
    return {};
  }
  return std::get<Arguments>(*parsed);
}

template <typename Command>
Command ParsedAs(const Words& words) {
  const Arguments arguments = ArgumentsOf(words);
  const auto* command = std::get_if<Command>(&arguments.command);
  if (command == nullptr) {
    ADD_FAILURE() << "another command was parsed: " << arguments.command.index();
    return {};
  }
  return *command;
}

std::string Refused(const Words& words, const Variables& variables = {}) {
  const auto parsed = Parse(words, variables);
  if (parsed.ok()) return "accepted";
  EXPECT_EQ(ExitCodeFor(parsed.status()), ExitCode::kUsage);
  return std::string(parsed.status().message());
}

TEST(ParseArgumentsTest, TakesGlobalOptionsAnywhere) {
  const Arguments before = ArgumentsOf({"--endpoint", "unix:/a", "-o", "json", "get", "backends"});
  const Arguments after =
      ArgumentsOf({"get", "backends", "web", "--endpoint=unix:/a", "-o", "json"});

  EXPECT_EQ(before.global.endpoint, "unix:/a");
  EXPECT_EQ(before.global.output, Output::kJson);
  EXPECT_EQ(after.global.endpoint, "unix:/a");
  EXPECT_EQ(after.global.output, Output::kJson);
}

TEST(ParseArgumentsTest, LetsFlagsStandOverVariablesAndThoseOverDefaults) {
  const Variables variables = {
      {"SIDELB_TIMEOUT", "2s"}, {"SIDELB_OUTPUT", "wide"}, {"SIDELB_OWNER", "api:a"}};

  const Arguments defaults = ArgumentsOf({"info"});
  const Arguments by_variable = ArgumentsOf({"info"}, variables);
  const Arguments by_flag = ArgumentsOf(
      {"rm", "pool", "web", "--timeout", "3s", "-o", "table", "--owner", "api:b"}, variables);

  EXPECT_EQ(defaults.global.timeout, absl::Seconds(5));
  EXPECT_EQ(defaults.global.owner, std::nullopt);
  EXPECT_EQ(by_variable.global.timeout, absl::Seconds(2));
  EXPECT_EQ(by_variable.global.output, Output::kWide);
  EXPECT_EQ(by_variable.global.owner, "api:a");
  EXPECT_EQ(by_flag.global.timeout, absl::Seconds(3));
  EXPECT_EQ(by_flag.global.output, Output::kTable);
  EXPECT_EQ(by_flag.global.owner, "api:b");
}

TEST(ParseArgumentsTest, NamesTheVariableThatIsWrong) {
  EXPECT_THAT(Refused({"info"}, {{"SIDELB_TIMEOUT", "2"}}),
              HasSubstr("SIDELB_TIMEOUT: \"2\" is not a duration"));
  EXPECT_THAT(Refused({"info"}, {{"SIDELB_OUTPUT", "yaml"}}),
              HasSubstr("SIDELB_OUTPUT: \"yaml\" is not allowed; allowed: table"));
}

TEST(ParseArgumentsTest, ReadsGet) {
  const auto backends = ParsedAs<GetCommand>(
      {"get", "backends", "web", "api", "--zone", "a", "--tag", "r=7", "--state", "draining"});
  const auto pools = ParsedAs<GetCommand>({"get", "pool", "web"});

  EXPECT_EQ(backends.noun, GetCommand::Noun::kBackends);
  EXPECT_THAT(backends.names, ElementsAre("web", "api"));
  EXPECT_EQ(backends.selector.zone, "a");
  EXPECT_THAT(backends.selector.tags, ElementsAre(Pair("r", "7")));
  EXPECT_THAT(backends.states, ElementsAre(pb::BACKEND_STATE_DRAINING));
  EXPECT_EQ(pools.noun, GetCommand::Noun::kPools);
}

TEST(ParseArgumentsTest, ReadsDescribe) {
  EXPECT_EQ(ParsedAs<DescribeCommand>({"describe", "web"}).noun, DescribeCommand::Noun::kPool);
  const auto backend = ParsedAs<DescribeCommand>({"describe", "web", "[::1]:80"});
  EXPECT_EQ(backend.noun, DescribeCommand::Noun::kBackend);
  EXPECT_EQ(backend.address, "[::1]:80");
  const auto listener = ParsedAs<DescribeCommand>({"describe", "listener", "http"});
  EXPECT_EQ(listener.noun, DescribeCommand::Noun::kListener);
  EXPECT_EQ(listener.name, "http");
}

TEST(ParseArgumentsTest, DescribesPoolsThatAreNamedLikeANoun) {
  EXPECT_EQ(ParsedAs<DescribeCommand>({"describe", "listener"}).noun, DescribeCommand::Noun::kPool);
  EXPECT_EQ(ParsedAs<DescribeCommand>({"describe", "listener", "10.0.0.5:80"}).noun,
            DescribeCommand::Noun::kBackend);
  EXPECT_EQ(ParsedAs<DescribeCommand>({"describe", "pool", "listener"}).noun,
            DescribeCommand::Noun::kPool);
}

TEST(ParseArgumentsTest, ReadsAddOfBackends) {
  const auto add = ParsedAs<AddBackendsCommand>(
      {"add", "web", "10.0.0.5:80", "[2001:DB8::5]:80", "--weight", "50", "--max-connections", "9",
       "--zone", "a", "--group", "g", "--tag", "a=1", "--tag", "b=2", "10.0.0.6:80"});

  EXPECT_EQ(add.pool, "web");
  EXPECT_THAT(add.addresses, ElementsAre("10.0.0.5:80", "[2001:db8::5]:80", "10.0.0.6:80"));
  EXPECT_EQ(add.attributes.weight, std::optional<uint32_t>(50));
  EXPECT_EQ(add.attributes.max_connections, 9u);
  EXPECT_EQ(add.attributes.zone, "a");
  EXPECT_EQ(add.attributes.group, "g");
  EXPECT_THAT(add.attributes.tags, ElementsAre(Pair("a", "1"), Pair("b", "2")));
  EXPECT_FALSE(add.may_create_pool);
}

TEST(ParseArgumentsTest, ReachesPoolsThatAreNamedLikeANoun) {
  const auto add = ParsedAs<AddBackendsCommand>({"add", "backend", "pool", "10.0.0.5:80"});

  EXPECT_EQ(add.pool, "pool");
  EXPECT_EQ(ParsedAs<AddPoolCommand>({"add", "pool", "pool"}).name, "pool");
  EXPECT_EQ(ParsedAs<RemovePoolsCommand>({"rm", "pool", "listener"}).names.front(), "listener");
}

TEST(ParseArgumentsTest, TakesPoolsThatAreNamedLikeAVerb) {
  for (const char* name : {"get", "add", "apply", "version", "drain"}) {
    EXPECT_EQ(ParsedAs<OverrideCommand>({"drain", name, "10.0.0.5:80"}).pool, name);
    EXPECT_EQ(ParsedAs<AddBackendsCommand>({"add", name, "10.0.0.5:80"}).pool, name);
  }
}

TEST(ParseArgumentsTest, ReadsAddOfPoolsAndListeners) {
  const auto pool = ParsedAs<AddPoolCommand>({"add", "pool", "web", "--mode", "leastconn",
                                              "--drain-timeout", "2m", "--on-timeout", "keep"});
  const auto listener = ParsedAs<AddListenerCommand>({"add", "listener", "http", "[::]:0", "--pool",
                                                      "web", "--idle-timeout", "0",
                                                      "--connect-attempts", "2", "--disabled"});

  EXPECT_EQ(pool.attributes.mode, pb::MODE_LEAST_CONNECTIONS);
  EXPECT_EQ(pool.attributes.drain_timeout, absl::Minutes(2));
  EXPECT_EQ(pool.attributes.on_timeout, pb::DRAIN_ACTION_KEEP);
  EXPECT_EQ(listener.attributes.address, "[::]:0");
  EXPECT_EQ(listener.attributes.pool, "web");
  EXPECT_EQ(listener.attributes.idle_timeout, absl::ZeroDuration());
  EXPECT_EQ(listener.attributes.connect_attempts, 2u);
  EXPECT_EQ(listener.attributes.is_disabled, true);
}

TEST(ParseArgumentsTest, RefusesWhatBelongsToAnotherNoun) {
  EXPECT_THAT(Refused({"add", "pool", "web", "10.0.0.5:80"}),
              HasSubstr("10.0.0.5:80: does not belong to \"add pool\""));
  EXPECT_THAT(Refused({"add", "pool", "web", "--weight", "5"}),
              HasSubstr("--weight: does not belong to \"add pool\""));
  EXPECT_THAT(Refused({"rm", "listener", "a", "--any-owner"}),
              HasSubstr("--any-owner: does not belong to \"rm listener\""));
}

TEST(ParseArgumentsTest, ReadsSet) {
  const auto backends =
      ParsedAs<SetBackendsCommand>({"set", "web", "10.0.0.5:80", "--weight", "default",
                                    "--zone=", "--tag", "a=1", "--tag", "b-"});
  const auto pool = ParsedAs<SetPoolCommand>({"set", "pool", "web", "--mode", "rr"});
  const auto listener = ParsedAs<SetListenerCommand>(
      {"set", "listener", "http", "--enabled", "--address", "0.0.0.0:81"});

  ASSERT_TRUE(backends.attributes.weight.has_value());
  EXPECT_EQ(*backends.attributes.weight, std::nullopt);
  EXPECT_EQ(backends.attributes.zone, "");
  EXPECT_THAT(backends.attributes.tags, ElementsAre(Pair("a", "1")));
  EXPECT_THAT(backends.attributes.removed_tags, ElementsAre("b"));
  EXPECT_EQ(pool.attributes.mode, pb::MODE_ROUND_ROBIN);
  EXPECT_EQ(listener.attributes.is_disabled, false);
  EXPECT_EQ(listener.attributes.address, "0.0.0.0:81");
  EXPECT_THAT(Refused({"set", "web", "10.0.0.5:80"}), HasSubstr("needs at least one of"));
  EXPECT_THAT(Refused({"set", "pool", "web"}), HasSubstr("needs at least one option"));
  EXPECT_THAT(Refused({"set", "listener", "http"}), HasSubstr("needs at least one option"));
}

TEST(ParseArgumentsTest, HealthOptionsOfAPoolChangeTheirFieldsOnly) {
  const auto set = ParsedAs<SetPoolCommand>({"set",         "pool",
                                             "web",         "--probe",
                                             "send-expect", "--probe-interval",
                                             "500ms",       "--probe-timeout",
                                             "200ms",       "--rise",
                                             "1",           "--fall",
                                             "2",           "--probe-send",
                                             "PING\\r\\n",  "--probe-expect",
                                             "+PONG",       "--probe-port",
                                             "81",          "--passive-failures",
                                             "0",           "--ejection-time",
                                             "5s",          "--max-ejection-time",
                                             "1m",          "--max-ejection-percent",
                                             "10",          "--panic-percent",
                                             "20",          "--on-unhealthy",
                                             "reset",       "--slow-start",
                                             "30s"});
  pb::Pool pool;
  pool.set_mode(pb::MODE_P2C);
  pool.set_panic_percent(99);
  ApplyAttributes(set.attributes, &pool);
  EXPECT_EQ(pool.mode(), pb::MODE_P2C);
  const pb::HealthCheck& check = pool.health_check();
  EXPECT_EQ(check.kind(), pb::PROBE_KIND_SEND_EXPECT);
  EXPECT_EQ(check.interval().nanos(), 500'000'000);
  EXPECT_EQ(check.timeout().nanos(), 200'000'000);
  EXPECT_EQ(check.rise(), 1u);
  EXPECT_EQ(check.fall(), 2u);
  EXPECT_EQ(check.send(), "PING\r\n");
  EXPECT_EQ(check.expect(), "+PONG");
  EXPECT_EQ(check.port(), 81u);
  EXPECT_TRUE(check.has_passive_failures());
  EXPECT_EQ(check.passive_failures(), 0u);
  EXPECT_EQ(pool.ejection_time().seconds(), 5);
  EXPECT_EQ(pool.max_ejection_time().seconds(), 60);
  EXPECT_EQ(pool.max_ejection_percent(), 10u);
  EXPECT_EQ(pool.panic_percent(), 20u);
  EXPECT_EQ(pool.on_unhealthy(), pb::ON_UNHEALTHY_RESET);
  EXPECT_EQ(pool.slow_start().seconds(), 30);

  ApplyAttributes(
      ParsedAs<SetPoolCommand>({"set", "pool", "web", "--panic-percent", "0"}).attributes, &pool);
  EXPECT_EQ(pool.panic_percent(), 0u);
}

TEST(ParseArgumentsTest, UdpOptionsOfAListenerAndPrioritiesOfBackends) {
  const auto add = ParsedAs<AddListenerCommand>(
      {"add", "listener", "dns", "0.0.0.0:53", "--pool", "dns", "--protocol", "udp", "--udp-policy",
       "request-response", "--udp-session-timeout", "10s", "--udp-unanswered-timeout", "0",
       "--max-sessions-per-client", "100"});
  pb::Listener listener;
  ApplyAttributes(add.attributes, &listener);
  EXPECT_EQ(listener.protocol(), pb::PROTOCOL_UDP);
  EXPECT_EQ(listener.udp_policy(), pb::UDP_POLICY_REQUEST_RESPONSE);
  EXPECT_EQ(listener.udp_session_timeout().seconds(), 10);
  EXPECT_TRUE(listener.has_udp_unanswered_timeout());
  EXPECT_EQ(listener.max_sessions_per_client(), 100u);

  pb::BackendSpec spec;
  ApplyAttributes(ParsedAs<AddBackendsCommand>({"add", "web", "10.0.0.5:80", "--priority", "1",
                                                "--probe-address", "10.0.0.5:81"})
                      .attributes,
                  &spec);
  EXPECT_EQ(spec.priority(), 1u);
  EXPECT_EQ(spec.probe_address(), "10.0.0.5:81");
  const auto back = ParsedAs<SetBackendsCommand>(
      {"set", "web", "10.0.0.5:80", "--probe-address", "default", "--priority", "0"});
  EXPECT_FALSE(back.attributes.HasOnlyWeight());
  ApplyAttributes(back.attributes, &spec);
  EXPECT_EQ(spec.SerializeAsString(), "");
}

TEST(ParseArgumentsTest, WrongHealthOptionsNameWhatIsAllowed) {
  EXPECT_THAT(Refused({"set", "pool", "web", "--probe", "ping"}), HasSubstr("send-expect"));
  EXPECT_THAT(Refused({"set", "pool", "web", "--panic-percent", "101"}), HasSubstr("0 to 100"));
  EXPECT_THAT(Refused({"set", "pool", "web", "--on-unhealthy", "drop"}), HasSubstr("keep, reset"));
  EXPECT_THAT(Refused({"set", "pool", "web", "--probe-send", "\\q"}), HasSubstr("wrong escape"));
  EXPECT_THAT(Refused({"add", "web", "10.0.0.5:80", "--priority", "8"}), HasSubstr("0 to 7"));
}

TEST(ParseArgumentsTest, TakesAnEmptyValueForEmptyAndNotTheNextArgument) {
  const auto set = ParsedAs<SetBackendsCommand>({"set", "web", "--zone=", "10.0.0.5:80"});

  EXPECT_EQ(set.attributes.zone, "");
  EXPECT_THAT(set.addresses, ElementsAre("10.0.0.5:80"));
}

TEST(ParseArgumentsTest, RefusesAnOptionInPlaceOfAValue) {
  EXPECT_THAT(Refused({"add", "web", "10.0.0.5:80", "--zone", "--dry-run"}),
              HasSubstr("--zone: needs a value, and \"--dry-run\" is an option"));
  EXPECT_THAT(Refused({"add", "web", "10.0.0.5:80", "--tag", "--dry-run"}),
              HasSubstr("--tag: needs a value"));
}

TEST(ParseArgumentsTest, NamesOptionAndValueOfWhatIsWrong) {
  EXPECT_THAT(Refused({"add", "web", "10.0.0.5:80", "--weight", "-5"}),
              HasSubstr("--weight: \"-5\" is not a number from 0 to 65535"));
  EXPECT_THAT(Refused({"add", "web", "10.0.0.5:80", "--weight=70000"}),
              HasSubstr("--weight: \"70000\" is not a number from 0 to 65535"));
  EXPECT_THAT(Refused({"add", "web", "10.0.0.5:80", "--weight", "default"}),
              HasSubstr("--weight: \"default\""));
  EXPECT_THAT(Refused({"drain", "web", "--all", "--timeout", "5"}),
              HasSubstr("--timeout: \"5\" is not a duration"));
  EXPECT_THAT(Refused({"--timeout", "0", "info"}), HasSubstr("--timeout: \"0\" leaves no time"));
  EXPECT_THAT(Refused({"add", "web", "10.0.0.5"}), HasSubstr("ADDR: \"10.0.0.5\" has no port"));
  EXPECT_THAT(Refused({"add", "web", "10.0.0.5:80", "10.0.0.5:080"}),
              HasSubstr("ADDR: \"10.0.0.5:80\" stands twice"));
  EXPECT_THAT(Refused({"add", "Web", "10.0.0.5:80"}), HasSubstr("POOL: \"Web\" is not a name"));
  EXPECT_THAT(Refused({"add", "web"}), HasSubstr("needs POOL and at least one ADDR"));
  EXPECT_THAT(Refused({"add", "listener", "http", "0.0.0.0:80"}), HasSubstr("needs --pool"));
  EXPECT_THAT(Refused({"mode", "web", "fast"}),
              HasSubstr("MODE: \"fast\" is not allowed; allowed: round-robin"));
  EXPECT_THAT(Refused({"mode", "web"}), HasSubstr("needs POOL and MODE"));
  EXPECT_THAT(Refused({"get"}), HasSubstr("a noun is missing. Try: sidelb-cli get --help"));
  EXPECT_THAT(Refused({"get", "nodes"}), HasSubstr("\"nodes\" is unknown. Try: sidelb-cli get"));
  EXPECT_THAT(Refused({}), HasSubstr("a verb is missing"));
  EXPECT_THAT(Refused({"frobnicate"}), HasSubstr("\"frobnicate\" is unknown"));
  EXPECT_THAT(Refused({"add", "web", "10.0.0.5:80", "--wieght", "5"}), HasSubstr("--wieght"));
  EXPECT_THAT(Refused({"apply"}), HasSubstr("needs -f FILE"));
  EXPECT_THAT(Refused({"replace", "web"}), HasSubstr("needs -f FILE"));
}

TEST(ParseArgumentsTest, ReadsOverrides) {
  const auto drain = ParsedAs<OverrideCommand>({"drain", "web", "10.0.0.5:80", "--timeout", "5m",
                                                "--on-timeout", "keep", "--reason", "new kernel"});
  const auto disable = ParsedAs<OverrideCommand>({"disable", "web", "--zone", "a", "--tag", "r=7"});
  const auto enable = ParsedAs<OverrideCommand>({"enable", "web", "--all", "--force"});

  EXPECT_EQ(drain.verb, OverrideCommand::Verb::kDrain);
  EXPECT_EQ(drain.drain_timeout, absl::Minutes(5));
  EXPECT_EQ(drain.on_timeout, pb::DRAIN_ACTION_KEEP);
  EXPECT_EQ(drain.reason, "new kernel");
  EXPECT_EQ(disable.verb, OverrideCommand::Verb::kDisable);
  EXPECT_EQ(disable.selector.zone, "a");
  EXPECT_EQ(enable.verb, OverrideCommand::Verb::kEnable);
  EXPECT_TRUE(enable.selector.is_all);
  EXPECT_TRUE(enable.is_forced);
}

TEST(ParseArgumentsTest, WantsToKnowWhichBackends) {
  EXPECT_THAT(Refused({"drain", "web"}), HasSubstr("needs ADDR, --zone"));
  EXPECT_THAT(Refused({"drain", "web", "--all", "--zone", "a"}),
              HasSubstr("--all: stands for itself"));
  EXPECT_THAT(Refused({"drain", "web", "--all", "--on-timeout", "keep"}),
              HasSubstr("--on-timeout: needs --timeout"));
}

TEST(ParseArgumentsTest, TellsTheDrainsTimeoutFromTheCalls) {
  const Arguments arguments =
      ArgumentsOf({"--timeout", "2s", "drain", "web", "--all", "--timeout", "5m"});

  EXPECT_EQ(arguments.global.timeout, absl::Seconds(2));
  EXPECT_EQ(std::get<OverrideCommand>(arguments.command).drain_timeout, absl::Minutes(5));
}

TEST(ParseArgumentsTest, TakesWaitWithAndWithoutALevel) {
  const Arguments bare = ArgumentsOf({"drain", "web", "--wait", "10.0.0.5:80"});
  EXPECT_EQ(bare.write.wait, pb::WAIT_FOR_DRAINED);
  EXPECT_THAT(std::get<OverrideCommand>(bare.command).selector.addresses,
              ElementsAre("10.0.0.5:80"));
  EXPECT_EQ(ArgumentsOf({"drain", "web", "--all", "--wait"}).write.wait, pb::WAIT_FOR_DRAINED);
  EXPECT_EQ(ArgumentsOf({"drain", "--wait", "committed", "web", "--all"}).write.wait,
            pb::WAIT_FOR_COMMITTED);
  EXPECT_EQ(ArgumentsOf({"drain", "--wait=applied", "web", "--all"}).write.wait,
            pb::WAIT_FOR_APPLIED);
  EXPECT_EQ(ArgumentsOf({"drain", "web", "--all"}).write.wait, std::nullopt);
  EXPECT_THAT(Refused({"drain", "web", "--all", "--wait=done"}),
              HasSubstr("--wait: \"done\" is not allowed; allowed: committed, applied, drained"));
}

TEST(ParseArgumentsTest, ReadsVerbsThatFollowTheDaemon) {
  const auto wait =
      ParsedAs<WaitCommand>({"wait", "web", "10.0.0.5:80", "--for", "healthy", "--timeout", "1m"});
  EXPECT_EQ(wait.target, WaitCommand::Target::kHealthy);
  EXPECT_EQ(wait.pool, "web");
  EXPECT_THAT(wait.addresses, ElementsAre("10.0.0.5:80"));
  EXPECT_EQ(wait.timeout, absl::Minutes(1));
  EXPECT_EQ(ParsedAs<WaitCommand>({"wait", "--for", "applied", "--revision", "7"}).revision, 7u);

  const auto watch = ParsedAs<WatchCommand>({"watch", "web", "--kind", "pool", "--kind", "listener",
                                             "--view", "config", "--resume", "e1/9"});
  EXPECT_THAT(watch.pools, ElementsAre("web"));
  EXPECT_THAT(watch.kinds, ElementsAre(pb::OBJECT_KIND_POOL, pb::OBJECT_KIND_LISTENER));
  EXPECT_EQ(watch.view, pb::VIEW_CONFIG);
  EXPECT_EQ(watch.resume, (ResumeToken{"e1", 9}));

  EXPECT_TRUE(ParsedAs<StatsCommand>({"stats", "web", "--exact"}).is_exact);
  const auto top = ParsedAs<TopCommand>({"top", "web", "-b", "-n", "3", "--interval", "500ms"});
  EXPECT_TRUE(top.is_batch);
  EXPECT_EQ(top.frames, 3u);
  EXPECT_EQ(top.interval, absl::Milliseconds(500));
  EXPECT_TRUE(ParsedAs<GetCommand>({"get", "backends", "-w"}).is_watching);
}

TEST(ParseArgumentsTest, RefusesWhatVerbsThatFollowTheDaemonCannotDo) {
  EXPECT_THAT(Refused({"wait", "web"}),
              HasSubstr("needs --for healthy, --for drained or --for applied"));
  EXPECT_THAT(Refused({"wait", "--for", "healthy"}), HasSubstr("needs POOL"));
  EXPECT_THAT(Refused({"wait", "web", "--for", "warm"}),
              HasSubstr("\"warm\" is not allowed; allowed: healthy, drained, applied"));
  EXPECT_THAT(Refused({"wait", "web", "--for", "healthy", "--revision", "7"}),
              HasSubstr("--revision"));
  EXPECT_THAT(Refused({"watch", "--resume", "e1"}), HasSubstr("\"e1\" is no token"));
  EXPECT_THAT(Refused({"watch", "--kind", "claim"}),
              HasSubstr("allowed: listener, pool, backend, lease"));
  EXPECT_THAT(Refused({"top", "--interval", "1ms"}), HasSubstr("\"1ms\" is too short"));
  EXPECT_THAT(Refused({"top", "-n", "0"}), HasSubstr("--frames: \"0\" is not a number"));
  EXPECT_THAT(Refused({"get", "pools", "-o", "csv"}), HasSubstr("-o csv is for stats only"));
  EXPECT_THAT(Refused({"get", "pools", "-w", "-o", "json"}), HasSubstr("use watch -o jsonl"));
  EXPECT_THAT(Refused({"top", "-o", "json"}), HasSubstr("use stats -o json"));
  EXPECT_THAT(Refused({"watch", "--dry-run"}), HasSubstr("--dry-run is for writes only"));
}

TEST(ParseArgumentsTest, ReadsLeases) {
  const auto hold = ParsedAs<LeaseCommand>({"lease", "hold", "api:x", "--ttl", "10s", "--on-expiry",
                                            "remove", "--", "run", "--ttl", "get"});
  EXPECT_EQ(hold.verb, LeaseCommand::Verb::kHold);
  EXPECT_EQ(hold.owner, "api:x");
  EXPECT_EQ(hold.ttl, absl::Seconds(10));
  EXPECT_EQ(hold.on_expiry, pb::EXPIRY_ACTION_REMOVE);
  EXPECT_THAT(hold.words, ::testing::ElementsAre("run", "--ttl", "get"));
  EXPECT_EQ(ParsedAs<LeaseCommand>({"lease", "ls"}).verb, LeaseCommand::Verb::kList);
  EXPECT_THAT(Refused({"lease", "hold", "api:x"}), HasSubstr("needs --"));
  EXPECT_THAT(Refused({"lease", "renew", "api:x"}), HasSubstr("needs --holder"));
  EXPECT_THAT(Refused({"lease", "ls", "--dry-run"}), HasSubstr("is for writes only"));
}

TEST(ParseArgumentsTest, ReadsTheEndOfAnOverride) {
  const auto drain = ParsedAs<OverrideCommand>({"drain", "web", "10.0.0.5:80", "--ttl", "10m"});
  EXPECT_EQ(drain.ttl, absl::Minutes(10));
  const auto set =
      ParsedAs<SetBackendsCommand>({"set", "web", "10.0.0.5:80", "--weight", "5", "--ttl", "1m"});
  EXPECT_EQ(set.ttl, absl::Minutes(1));
  EXPECT_THAT(Refused({"set", "web", "10.0.0.5:80", "--zone", "a", "--ttl", "1m"}),
              HasSubstr("goes with --weight"));
  EXPECT_THAT(Refused({"health", "web", "--ttl", "1m"}), HasSubstr("needs --force"));
}

TEST(ParseArgumentsTest, TellsForcedHealthFromAQuestion) {
  EXPECT_EQ(ParsedAs<ShowHealthCommand>({"health"}).pool, "");
  EXPECT_EQ(ParsedAs<ShowHealthCommand>({"health", "web", "--zone", "a"}).selector.zone, "a");
  const auto force =
      ParsedAs<OverrideCommand>({"health", "web", "--tag", "a=b", "--force", "healthy"});
  EXPECT_EQ(force.verb, OverrideCommand::Verb::kHealth);
  EXPECT_EQ(force.health, pb::HEALTH_OVERRIDE_FORCE_HEALTHY);
  EXPECT_EQ(ParsedAs<OverrideCommand>({"health", "web", "--all", "--clear"}).health,
            pb::HEALTH_OVERRIDE_UNSPECIFIED);

  EXPECT_THAT(Refused({"health", "web", "--force", "healthy"}), HasSubstr("needs ADDR, --zone"));
  EXPECT_THAT(Refused({"health", "web", "--all", "--force", "up"}),
              HasSubstr("\"up\" is not allowed; allowed: healthy, unhealthy"));
  EXPECT_THAT(Refused({"health", "web", "--all", "--force", "healthy", "--clear"}),
              HasSubstr("not both"));
  EXPECT_THAT(Refused({"health", "web", "--all", "--clear", "--reason", "x"}),
              HasSubstr("--reason: needs --force"));
}

TEST(ParseArgumentsTest, ReadsOptionsOfWrites) {
  const Arguments arguments = ArgumentsOf(
      {"rm", "web", "10.0.0.5:80", "--drain", "60s", "--any-owner", "--dry-run", "--comment", "why",
       "--expected-revision", "18446744073709551615", "--wait-timeout", "7s", "--error-unchanged"});

  EXPECT_TRUE(arguments.write.is_dry_run);
  EXPECT_TRUE(arguments.write.is_unchanged_an_error);
  EXPECT_EQ(arguments.write.comment, "why");
  EXPECT_EQ(arguments.write.expected_revision, UINT64_MAX);
  EXPECT_EQ(arguments.write.wait_timeout, absl::Seconds(7));
  const auto& remove = std::get<RemoveBackendsCommand>(arguments.command);
  EXPECT_EQ(remove.drain_timeout, absl::Seconds(60));
  EXPECT_TRUE(remove.is_any_owner);
}

TEST(ParseArgumentsTest, RefusesOptionsOfWritesForReads) {
  EXPECT_THAT(Refused({"get", "pools", "--dry-run"}), HasSubstr("--dry-run is for writes only"));
  EXPECT_THAT(Refused({"export", "--owner", "api:a"}), HasSubstr("--owner is for writes only"));
}

TEST(ParseArgumentsTest, EndsOptionsAtTwoDashes) {
  const auto add = ParsedAs<AddBackendsCommand>({"add", "web", "--", "10.0.0.5:80"});

  EXPECT_THAT(add.addresses, ElementsAre("10.0.0.5:80"));
}

TEST(ParseArgumentsTest, TakesADashForStandardInput) {
  EXPECT_EQ(ParsedAs<ApplyFileCommand>({"apply", "-f", "-", "--prune"}).file, "-");
  EXPECT_EQ(ParsedAs<ReplaceCommand>({"replace", "web", "-f", "-"}).file, "-");
}

TEST(ParseArgumentsTest, PrintsHelpOfTheVerb) {
  const auto all = Parse({"--help"});
  const auto add = Parse({"add", "--help"});
  const auto listener = Parse({"add", "listener", "-h"});

  EXPECT_THAT(std::get<HelpText>(*all).text, HasSubstr("Exit codes:"));
  EXPECT_THAT(std::get<HelpText>(*add).text,
              HasSubstr("Usage: sidelb-cli add [backend] POOL ADDR..."));
  EXPECT_THAT(std::get<HelpText>(*listener).text,
              HasSubstr("Usage: sidelb-cli add listener NAME ADDR --pool POOL"));
}

TEST(ParseArgumentsTest, ReadsHashKeysAndGroups) {
  const auto mode = ParsedAs<SetModeCommand>(
      {"mode", "web", "maglev", "--hash", "source-ip-port", "--hash-table-size", "1009"});
  EXPECT_EQ(mode.hash_key, pb::HASH_KEY_SOURCE_IP_PORT);
  EXPECT_EQ(mode.hash_table_size, 1'009u);
  EXPECT_FALSE(ParsedAs<SetModeCommand>({"mode", "web", "maglev"}).hash_key);

  pb::Pool pool;
  ApplyAttributes(ParsedAs<SetPoolCommand>({"set", "pool", "web", "--group-by-ip", "--hash-key",
                                            "source-ip-port", "--hash-table-size", "251"})
                      .attributes,
                  &pool);
  EXPECT_TRUE(pool.group_by_ip());
  EXPECT_EQ(pool.hash_key(), pb::HASH_KEY_SOURCE_IP_PORT);
  EXPECT_EQ(pool.hash_table_size(), 251u);
  ApplyAttributes(ParsedAs<SetPoolCommand>({"set", "pool", "web", "--no-group-by-ip"}).attributes,
                  &pool);
  EXPECT_FALSE(pool.group_by_ip());
  EXPECT_EQ(pool.hash_table_size(), 251u);
  EXPECT_THAT(Refused({"mode", "web", "maglev", "--hash", "port"}),
              HasSubstr("source-ip, source-ip-port"));
}

}  // namespace
}  // namespace sidelb::client
