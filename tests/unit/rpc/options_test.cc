// Arguments and environment of the daemon, and what it says of wrong ones.
#include "server/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "server/log.h"
#include "spdlog/details/log_msg.h"

namespace sidelb::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Arguments = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

std::variant<Options, Exit, StatusCheck> Parse(const Arguments& arguments,
                                               const Variables& variables = {}) {
  return ParseOptions(arguments,
                      {.get_variable = [&](const char* name) -> std::optional<std::string> {
                         const auto found = variables.find(name);
                         if (found == variables.end()) return std::nullopt;
                         return found->second;
                       },
                       .cpus = 3});
}

Options Good(const Arguments& arguments, const Variables& variables = {}) {
  const auto parsed = Parse(arguments, variables);
  if (const Exit* exit = std::get_if<Exit>(&parsed)) {
    ADD_FAILURE() << exit->text;
    return {};
  }
  return std::get<Options>(parsed);
}

// The text for stderr of arguments that must be refused.
std::string Refused(const Arguments& arguments, const Variables& variables = {}) {
  const auto parsed = Parse(arguments, variables);
  const Exit* exit = std::get_if<Exit>(&parsed);
  if (exit == nullptr) {
    ADD_FAILURE() << "accepted: " << ::testing::PrintToString(arguments);
    return "";
  }
  EXPECT_EQ(exit->code, 2);
  return exit->text;
}

TEST(OptionsTest, NothingMeansAnEmptyStart) {
  const Options options = Good({});
  EXPECT_FALSE(options.bind);
  EXPECT_THAT(options.backends, IsEmpty());
  EXPECT_EQ(options.mode, Mode::kRoundRobin);
  EXPECT_EQ(options.shards, 3u);
  EXPECT_EQ(options.max_connections, 0u);
  EXPECT_EQ(options.busy_poll, std::chrono::microseconds(0));
  EXPECT_FALSE(options.control);
  EXPECT_THAT(options.default_sockets, ElementsAre("/run/sidelb/control.sock"));
  EXPECT_EQ(options.log_level, LogLevel::kInfo);
  EXPECT_EQ(options.log_format, LogFormat::kText);
  EXPECT_EQ(options.drain_timeout, absl::Seconds(25));
  EXPECT_EQ(options.drain_delay, absl::ZeroDuration());
  EXPECT_EQ(options.status_place, StatusPlace::kDefault);
}

void ExpectStandalone(const Options& options) {
  ASSERT_TRUE(options.bind);
  EXPECT_EQ(options.bind->ToString(), "127.0.0.1:8080");
  EXPECT_EQ(options.mode, Mode::kLeastConnections);
  ASSERT_EQ(options.backends.size(), 2u);
  EXPECT_EQ(options.backends[0].ToString(), "10.0.0.5:80");
  EXPECT_EQ(options.backends[1].ToString(), "[2001:db8::6]:80");
}

constexpr char kBackends[] = "10.0.0.5:80,[2001:db8::6]:80";

TEST(OptionsTest, WordsInAnyOrder) {
  const std::string backends = std::string("backends=") + kBackends;
  ExpectStandalone(Good({"127.0.0.1:8080", "mode=least-connections", "proto=tcp", backends}));
  ExpectStandalone(Good({"127.0.0.1:8080", backends, "proto=tcp", "mode=least_connections"}));
  ExpectStandalone(Good({"mode=leastconn", backends, "127.0.0.1:8080"}));
}

TEST(OptionsTest, FlagsSayTheSame) {
  ExpectStandalone(Good({"--bind", "127.0.0.1:8080", "--mode", "least-connections", "--proto",
                         "tcp", "--backends", kBackends}));
  ExpectStandalone(Good({"--bind=127.0.0.1:8080", "--mode=least-connections",
                         std::string("--backends=") + kBackends}));
}

TEST(OptionsTest, VariablesSayTheSame) {
  ExpectStandalone(Good({}, {{"SIDELB_BIND_ADDR", "127.0.0.1:8080"},
                             {"SIDELB_MODE", "least-connections"},
                             {"SIDELB_PROTO", "tcp"},
                             {"SIDELB_BACKENDS", kBackends}}));
}

TEST(OptionsTest, ArgumentsWinOverVariables) {
  const Variables variables = {{"SIDELB_BIND_ADDR", "127.0.0.1:1"},
                               {"SIDELB_MODE", "nonsense"},
                               {"SIDELB_PROTO", "udp"},
                               {"SIDELB_BACKENDS", "10.9.9.9:9"}};
  ExpectStandalone(
      Good({"127.0.0.1:8080", "mode=least-connections", "--proto", "tcp", "--backends", kBackends},
           variables));
}

TEST(OptionsTest, AConfigurationMayBeAFlagOrAVariable) {
  EXPECT_EQ(Good({"--config", "/etc/sidelb.json"}).config_file, "/etc/sidelb.json");
  EXPECT_EQ(Good({}, {{"SIDELB_CONFIG", "a"}}).config_file, "a");
  EXPECT_EQ(Good({"--config", "b"}, {{"SIDELB_CONFIG", "a"}}).config_file, "b");
  EXPECT_THAT(Good({}).config_file, IsEmpty());
}

TEST(OptionsTest, AnEmptyVariableIsNone) {
  EXPECT_FALSE(Good({}, {{"SIDELB_BIND_ADDR", ""}, {"SIDELB_RING_DOMAIN", ""}}).bind);
}

TEST(OptionsTest, ReadsIpv6AddressesAndPortZero) {
  EXPECT_EQ(Good({"[::1]:8080", "backends=10.0.0.5:80"}).bind->ToString(), "[::1]:8080");
  EXPECT_EQ(Good({"[::]:0", "backends=10.0.0.5:80"}).bind->ToString(), "[::]:0");
}

TEST(OptionsTest, RingDomainsStandBesideBackendsOrInsteadOfThem) {
  const Options options = Good({"127.0.0.1:8080", "ring_domain=web.example:80,db:5432",
                                "--resolver", "127.0.0.1:5353", "--ring-max-ttl", "500ms"});
  EXPECT_THAT(options.backends, IsEmpty());
  ASSERT_EQ(options.ring_domains.size(), 2u);
  EXPECT_EQ(options.ring_domains[0].domain, "web.example");
  EXPECT_EQ(options.ring_domains[0].port, 80u);
  EXPECT_EQ(options.ring_domains[1].domain, "db");
  EXPECT_EQ(options.ring_domains[1].port, 5432u);
  EXPECT_EQ(options.ring_domains[1].max_ttl, absl::Milliseconds(500));
  EXPECT_EQ(options.resolver->ToString(), "127.0.0.1:5353");

  const Options both =
      Good({"127.0.0.1:8080", "backends=10.0.0.5:80"}, {{"SIDELB_RING_DOMAIN", "web.example:80"}});
  EXPECT_EQ(both.backends.size(), 1u);
  EXPECT_EQ(both.ring_domains.size(), 1u);
  EXPECT_FALSE(both.ring_domains[0].max_ttl);
}

TEST(OptionsTest, GroupingIsAWordAFlagOrAVariable) {
  const std::vector<std::string> start = {"127.0.0.1:8080", "backends=10.0.0.5:80"};
  const auto with = [&start](const std::string& argument) {
    return std::vector<std::string>{start[0], start[1], argument};
  };
  EXPECT_FALSE(Good(start).group_by_ip);
  EXPECT_TRUE(Good(with("group_by_ip=true")).group_by_ip);
  EXPECT_TRUE(Good(with("--group-by-ip=true")).group_by_ip);
  EXPECT_TRUE(Good(start, {{"SIDELB_GROUP_BY_IP", "true"}}).group_by_ip);
  EXPECT_FALSE(Good(with("group_by_ip=false"), {{"SIDELB_GROUP_BY_IP", "true"}}).group_by_ip);
}

TEST(OptionsTest, ReadsEveryFlag) {
  const Options options =
      Good({"--shards", "7", "--max-connections", "1000", "--control", "127.0.0.1:0", "--log-level",
            "debug", "--log-format", "json", "--drain-timeout", "1m30s", "--drain-delay", "500ms",
            "--busy-poll-us", "50"});
  EXPECT_EQ(options.busy_poll, std::chrono::microseconds(50));
  EXPECT_EQ(options.shards, 7u);
  EXPECT_EQ(options.max_connections, 1'000u);
  EXPECT_EQ(options.control->ToString(), "127.0.0.1:0");
  EXPECT_EQ(options.log_level, LogLevel::kDebug);
  EXPECT_EQ(options.log_format, LogFormat::kJson);
  EXPECT_EQ(options.drain_timeout, absl::Seconds(90));
  EXPECT_EQ(options.drain_delay, absl::Milliseconds(500));
}

TEST(OptionsTest, TheRuntimeFolderOfTheUserIsTheSecondPlace) {
  EXPECT_THAT(Good({}, {{"XDG_RUNTIME_DIR", "/run/user/7"}}).default_sockets,
              ElementsAre("/run/sidelb/control.sock", "/run/user/7/sidelb/control.sock"));
}

TEST(OptionsTest, AnEndpointForOtherMachinesMustBeAskedForTwice) {
  EXPECT_THAT(Refused({"--control", "0.0.0.0:7000"}),
              AllOf(HasSubstr("--control 0.0.0.0:7000"), HasSubstr("--tls-cert"),
                    HasSubstr("--control-insecure")));
  EXPECT_EQ(Good({"--control", "0.0.0.0:7000", "--control-insecure"}).control->ToString(),
            "0.0.0.0:7000");
}

TEST(OptionsTest, AnEndpointForOtherMachinesNeedsTlsAndACheckOfClients) {
  const Arguments with_tls = {"--control", "0.0.0.0:7000", "--tls-cert",
                              "c.pem",     "--tls-key",    "k.pem"};
  EXPECT_THAT(Refused(with_tls), AllOf(HasSubstr("--tls-client-ca"), HasSubstr("--roles")));
  Arguments with_ca = with_tls;
  with_ca.insert(with_ca.end(), {"--tls-client-ca", "ca.pem"});
  const Options options = Good(with_ca);
  EXPECT_EQ(options.security.tls->certificate, "c.pem");
  EXPECT_EQ(options.security.tls->key, "k.pem");
  EXPECT_EQ(options.security.tls->client_ca, "ca.pem");
  Arguments with_roles = with_tls;
  with_roles.insert(with_roles.end(), {"--roles", "roles"});
  EXPECT_EQ(Good(with_roles).security.roles, "roles");
}

TEST(OptionsTest, ACertificateAndItsKeyGoTogetherAndWithAPort) {
  const Arguments port = {"--control", "127.0.0.1:7000"};
  const auto with = [](Arguments arguments, const Arguments& more) {
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  EXPECT_THAT(Refused(with(port, {"--tls-cert", "c"})), HasSubstr("--tls-key"));
  EXPECT_THAT(Refused(with(port, {"--tls-key", "k"})), HasSubstr("--tls-cert"));
  EXPECT_THAT(Refused(with(port, {"--tls-client-ca", "ca"})), HasSubstr("--tls-cert"));
  EXPECT_THAT(Refused({"--control", "unix:/x", "--tls-cert", "c", "--tls-key", "k"}),
              HasSubstr("--control IP:PORT"));
  EXPECT_THAT(Refused({"--roles", ""}), HasSubstr("--roles"));
}

TEST(OptionsTest, TheStatusSocketIsAtAPathOrNowhere) {
  const Options at = Good({"--status-socket", "/tmp/s.sock"});
  EXPECT_EQ(at.status_place, StatusPlace::kPath);
  EXPECT_EQ(at.status_path, "/tmp/s.sock");
  EXPECT_EQ(Good({"--status-socket", "none"}).status_place, StatusPlace::kNowhere);
}

TEST(OptionsTest, TheStatusSocketIsWhereTheOriginalHadItOrBesideTheControlSocket) {
  EXPECT_THAT(StatusSocketPaths("/tmp/a/control.sock"),
              ElementsAre("/run/sidelb.sock", "/tmp/a/status.sock"));
  EXPECT_THAT(StatusSocketPaths("control.sock"), ElementsAre("/run/sidelb.sock", "status.sock"));
  EXPECT_THAT(StatusSocketPaths(""), ElementsAre("/run/sidelb.sock"));
}

std::vector<std::string> CheckedPaths(const Arguments& arguments, const Variables& variables = {}) {
  const auto parsed = Parse(arguments, variables);
  if (!std::holds_alternative<StatusCheck>(parsed)) return {};
  return std::get<StatusCheck>(parsed).paths;
}

TEST(OptionsTest, AHealthCheckSearchesWhereADaemonMayBe) {
  EXPECT_THAT(
      CheckedPaths({"--health-check-uds"}, {{"XDG_RUNTIME_DIR", "/run/user/7"}}),
      ElementsAre("/run/sidelb.sock", "/run/sidelb/status.sock", "/run/user/7/sidelb/status.sock"));
  EXPECT_THAT(CheckedPaths({"--health-check-uds", "/tmp/s.sock"}), ElementsAre("/tmp/s.sock"));
}

TEST(OptionsTest, AHealthCheckDoesNotMindTheVariablesOfTheDaemon) {
  EXPECT_THAT(CheckedPaths({"--health-check-uds"}, {{"SIDELB_MODE", "nonsense"}}),
              ElementsAre("/run/sidelb.sock", "/run/sidelb/status.sock"));
}

TEST(OptionsTest, TheDrainTimeoutMayBeAVariable) {
  const Variables variables = {{"SIDELB_DRAIN_TIMEOUT", "8s"}};
  EXPECT_EQ(Good({}, variables).drain_timeout, absl::Seconds(8));
  EXPECT_EQ(Good({"--drain-timeout", "3s"}, variables).drain_timeout, absl::Seconds(3));
}

TEST(OptionsTest, HelpAndVersionEndWithZero) {
  const auto help = Parse({"--help"});
  EXPECT_EQ(std::get<Exit>(help).code, 0);
  for (const char* flag : {"--bind",
                           "--mode",
                           "--proto",
                           "--backends",
                           "--ring-domain",
                           "--resolver",
                           "--ring-max-ttl",
                           "--shards",
                           "--max-connections",
                           "--busy-poll-us",
                           "--control",
                           "--control-insecure",
                           "--tls-cert",
                           "--tls-key",
                           "--tls-client-ca",
                           "--roles",
                           "--status-socket",
                           "--health-check-uds",
                           "SIDELB_DRAIN_TIMEOUT",
                           "--log-level",
                           "--log-format",
                           "--drain-timeout",
                           "--drain-delay",
                           "--version",
                           "--help",
                           "SIDELB_BIND_ADDR",
                           "SIDELB_BACKENDS",
                           "SIDELB_MODE",
                           "SIDELB_PROTO",
                           "SIDELB_RING_DOMAIN"}) {
    EXPECT_THAT(std::get<Exit>(help).text, HasSubstr(flag));
  }
  const auto version = Parse({"--version"});
  EXPECT_EQ(std::get<Exit>(version).code, 0);
  EXPECT_EQ(std::get<Exit>(version).text, "sidelb " SIDELB_VERSION "\n");
}

// Arguments, and what the refusal must say: what was written, and what is allowed.
struct WrongArguments {
  Arguments arguments;
  std::string written;
  std::string allowed;
};

TEST(OptionsTest, AWrongArgumentNamesItselfAndWhatIsAllowed) {
  const std::string at = "127.0.0.1:8080";
  const std::vector<WrongArguments> cases = {
      {{"127.0.0.1"}, "127.0.0.1", "IP:PORT"},
      {{"localhost:8080"}, "localhost:8080", "IP:PORT"},
      {{"--bind", "8080"}, "--bind 8080", "IP:PORT"},
      {{at, "127.0.0.1:8081"}, "127.0.0.1:8081", "write one of them"},
      {{at, "--bind", at}, "--bind 127.0.0.1:8080", "write one of them"},
      {{at, "mode=fastest"}, "mode=fastest", "round-robin, least-connections"},
      {{at, "--mode", "fastest"}, "--mode fastest", "round-robin, least-connections"},
      {{at, "mode="}, "mode=", "round-robin, least-connections"},
      {{at, "mode=rr", "mode=rr"}, "mode=rr", "write one of them"},
      {{at, "proto=sctp"}, "proto=sctp", "allowed: tcp, udp"},
      {{at}, at, "backends=IP:PORT,... or ring_domain=NAME:PORT"},
      {{at, "mode=p2c"}, at, "backends=IP:PORT,... or ring_domain=NAME:PORT"},
      {{at, "ring_domain="}, "ring_domain=", "NAME:PORT,NAME:PORT"},
      {{at, "ring_domain=web.example"}, "'web.example' has no port", "NAME:PORT,NAME:PORT"},
      {{at, "ring_domain=web.example:"}, "'web.example:'", "1 to 65535"},
      {{at, "ring_domain=web.example:0"}, "'web.example:0'", "1 to 65535"},
      {{at, "ring_domain=web.example:65536"}, "'web.example:65536'", "1 to 65535"},
      {{at, "ring_domain=:80"}, "ring_domain=:80", "a host name"},
      {{at, "ring_domain=10.0.0.5:80"}, "'10.0.0.5'", "a host name"},
      {{at, "ring_domain=[::1]:80"}, "'[::1]'", "a host name"},
      {{at, "ring_domain=web..example:80"}, "'web..example'", "a host name"},
      {{at, "--ring-domain", "a.example:80,A.example.:81"}, "A.example.", "once in a pool"},
      {{"ring_domain=web.example:80"}, "ring_domain=web.example:80", "write IP:PORT first"},
      {{"--resolver", "ns.example:53"}, "--resolver ns.example:53", "IP:PORT"},
      {{"--resolver", "10.0.0.1:0"}, "--resolver 10.0.0.1:0", "1 to 65535"},
      {{"--ring-max-ttl", "5s"}, "--ring-max-ttl 5s", "ring_domain=NAME:PORT"},
      {{at, "ring_domain=a.example:80", "--ring-max-ttl", "5"}, "--ring-max-ttl 5", "25s"},
      {{at, "ring_domain=a.example:80", "--ring-max-ttl", "0s"}, "--ring-max-ttl 0s", "10ms"},
      {{at, "group_by_ip=yes"}, "group_by_ip=yes", "true, false"},
      {{"group_by_ip=true"}, "group_by_ip=true", "write IP:PORT first"},
      {{at, "backends="}, "backends=", "IP:PORT,IP:PORT"},
      {{at, "backends=10.0.0.5"}, "'10.0.0.5'", "IP:PORT"},
      {{at, "backends=10.0.0.5:80,"}, "backends=10.0.0.5:80,", "IP:PORT"},
      {{at, "backends=10.0.0.5:0"}, "'10.0.0.5:0'", "1 to 65535"},
      {{at, "backends=10.0.0.5:80,10.0.0.5:80"}, "10.0.0.5:80", "twice"},
      {{at, "backend=10.0.0.5:80"}, "backend=10.0.0.5:80", "mode=, proto=, backends="},
      {{at, "=x"}, "=x", "mode=, proto=, backends="},
      {{"mode=rr"}, "mode=rr", "write IP:PORT first"},
      {{"backends=10.0.0.5:80"}, "backends=10.0.0.5:80", "write IP:PORT first"},
      {{"--proto", "tcp"}, "--proto tcp", "write IP:PORT first"},
      {{"--shards", "0"}, "--shards 0", "1 to 256"},
      {{"--shards", "257"}, "--shards 257", "1 to 256"},
      {{"--shards", "two"}, "--shards two", "1 to 256"},
      {{"--shards=-1"}, "--shards -1", "1 to 256"},
      {{"--busy-poll-us", "10001"}, "--busy-poll-us 10001", "0 to 10000"},
      {{"--busy-poll-us", "1ms"}, "--busy-poll-us 1ms", "0 to 10000"},
      {{"--max-connections", "0"}, "--max-connections 0", "1 to"},
      {{"--max-connections", "1e6"}, "--max-connections 1e6", "1 to"},
      {{"--max-connections", "99999999999999999999"}, "99999999999999999999", "1 to"},
      {{"--config", ""}, "--config", "the path of a file"},
      {{at, "backends=10.0.0.5:80", "--config", "f"}, "--config f", "write one of them"},
      {{"--control", "7000"}, "'7000'", "unix:PATH or IP:PORT"},
      {{"--control", "example.com:7000"}, "'example.com:7000'", "unix:PATH or IP:PORT"},
      {{"--drain-timeout", "25"}, "--drain-timeout 25", "25s"},
      {{"--drain-timeout=-1s"}, "--drain-timeout -1s", "0s to 24h"},
      {{"--drain-delay", "inf"}, "--drain-delay inf", "0s to 24h"},
      {{"--status-socket", ""}, "--status-socket", "a path, or none"},
      {{"--log-level", "loud"}, "--log-level loud", "trace, debug, info, warning, error"},
      {{"--log-format", "xml"}, "--log-format xml", "text, json"},
      {{"--nonsense"}, "--nonsense", "--help"},
      {{"--mode"}, "--mode", "--help"},
      {{"--shards", "1", "--shards", "2"}, "--shards", "--help"},
  };
  for (const WrongArguments& wrong : cases) {
    EXPECT_THAT(Refused(wrong.arguments),
                AllOf(HasSubstr("sidelb: "), HasSubstr(wrong.written), HasSubstr(wrong.allowed)));
  }
}

TEST(OptionsTest, AWrongVariableIsNamed) {
  const Variables at = {{"SIDELB_BIND_ADDR", "127.0.0.1:80"}};
  const auto with = [&at](const char* name, const char* value) {
    Variables variables = at;
    variables[name] = value;
    return variables;
  };
  EXPECT_THAT(Refused({}, with("SIDELB_BIND_ADDR", "x")), HasSubstr("SIDELB_BIND_ADDR=x"));
  EXPECT_THAT(Refused({}, with("SIDELB_MODE", "x")), HasSubstr("SIDELB_MODE=x"));
  EXPECT_THAT(Refused({}, with("SIDELB_PROTO", "sctp")), HasSubstr("SIDELB_PROTO=sctp"));
  EXPECT_THAT(Refused({}, with("SIDELB_BACKENDS", "x")), HasSubstr("SIDELB_BACKENDS=x"));
  EXPECT_THAT(Refused({}, with("SIDELB_RING_DOMAIN", "x")), HasSubstr("SIDELB_RING_DOMAIN=x"));
  EXPECT_THAT(Refused({}, {{"SIDELB_MODE", "rr"}}), HasSubstr("SIDELB_MODE=rr"));
  EXPECT_THAT(Refused({}, {{"SIDELB_DRAIN_TIMEOUT", "8"}}), HasSubstr("SIDELB_DRAIN_TIMEOUT=8"));
}

TEST(LogTest, JsonStringsAreEscaped) {
  EXPECT_EQ(JsonEscape("plain \u00e9"), "plain \u00e9");
  EXPECT_EQ(JsonEscape("a\"b\\c\nd\te\x01"), "a\\\"b\\\\c\\nd\\te\\u0001");
}

TEST(LogTest, AJsonLineHoldsTimeLevelAndMessage) {
  const auto time = spdlog::log_clock::time_point(std::chrono::milliseconds(1'500));
  spdlog::details::log_msg message(time, spdlog::source_loc{}, "sidelb", spdlog::level::warn,
                                   "say \"hi\"");
  spdlog::memory_buf_t line;
  MakeJsonFormatter()->format(message, line);
  EXPECT_EQ(std::string(line.data(), line.size()),
            "{\"time\":\"1970-01-01T00:00:01.500Z\",\"level\":\"warning\","
            "\"message\":\"say \\\"hi\\\"\"}\n");
}

}  // namespace
}  // namespace sidelb::server
