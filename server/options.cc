#include "server/options.h"

#include <sched.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/control/validate.h"

namespace sidelb::server {
namespace {

constexpr std::string_view kStatusCheckFlag = "--health-check-uds";
constexpr size_t kMaxShards = 256;
constexpr uint64_t kMaxBusyPollUs = 10'000;
constexpr absl::Duration kMaxDrain = absl::Hours(24);
constexpr std::string_view kModes =
    "round-robin, least-connections, p2c, random, source-hash, maglev";

constexpr std::string_view kHelp =
    R"(SideLB, a layer 4 load balancer that is driven over gRPC.

Usage: sidelb [IP:PORT] [WORD...] [FLAG...]

Without an address it starts empty and waits for gRPC. With one it listens there, in front of a
pool named "default".

Words, in any order; each is also a flag and a variable (arguments win over variables):
  IP:PORT                 --bind         SIDELB_BIND_ADDR    where to listen: 0.0.0.0:8080, [::]:8080
  backends=IP:PORT,...    --backends     SIDELB_BACKENDS     who gets the connections
  mode=MODE               --mode         SIDELB_MODE         round-robin (default), least-connections,
                                                              p2c, random, source-hash, maglev
  proto=tcp|udp           --proto        SIDELB_PROTO        the protocol; tcp (default)
  ring_domain=NAME:PORT   --ring-domain  SIDELB_RING_DOMAIN  backends by DNS: A and AAAA records;
                                                              several as NAME:PORT,NAME:PORT,...
  group_by_ip=true|false  --group-by-ip  SIDELB_GROUP_BY_IP  all ports of one IP share one probe, one
                                                              fate and one count; false (default)
With an address it needs backends, a ring domain, or both.

Flags:
  --config FILE           listeners, pools and backends as JSON, as `sidelb-cli export` writes it,
                          instead of an address; SIGHUP reads it again. Default: SIDELB_CONFIG
  --control ENDPOINT      where gRPC is served: unix:PATH or IP:PORT. Default: the socket
                          /run/sidelb/control.sock, else $XDG_RUNTIME_DIR/sidelb/control.sock
  --tls-cert FILE         certificate of the control endpoint (PEM, with its chain); a port that
  --tls-key FILE          other machines reach needs it, with its key. Both are read anew when they
                          change
  --tls-client-ca FILE    who signs the certificates that clients must then show
  --roles FILE            who may do what over gRPC, by user and certificate; SIGHUP reads it anew.
                          Default: whoever can reach the endpoint may do everything
  --control-insecure      allow a port that other machines reach without TLS or without certificates
                          of clients
  --state-dir DIR         keep what the API sets over restarts, in this folder; it is made if it is
                          not there. Default: SIDELB_STATE_DIR, else nothing is kept
  --status-socket PATH    where each connection is told HEALTHY or UNHEALTHY; none = nowhere.
                          Default: /run/sidelb.sock, else status.sock beside the control socket
  --resolver IP:PORT      the DNS server of ring domains. Default: those of /etc/resolv.conf
  --ring-max-ttl TIME     how long an answer about a ring domain counts at most. Default: 60s
  --shards N              threads that carry traffic, 1 to 256. Default: the CPUs it may run on
  --max-connections N     at a time in the process. Default: 0.45 of the limit of descriptors
  --busy-poll-us N        microseconds that a shard asks for events before it sleeps, 0 to 10000:
                          lower latency for a CPU each. Default: 0
  --drain-timeout TIME    how long connections may go on after SIGTERM or SIGINT. Default:
                          SIDELB_DRAIN_TIMEOUT, else 25s
  --drain-delay TIME      how long to accept after health says NOT_SERVING. Default: 0s
  --log-level LEVEL       trace, debug, info (default), warning, error
  --log-format FORMAT     text (default) or json, to stderr
  --health-check-uds [PATH]  ask a running daemon's status socket, print its answer, and exit with
                          0 for HEALTHY, else 1. Default: the first of the default places
  --version               print the version
  --help                  print this

Examples:
  sidelb 0.0.0.0:8080 backends=10.0.0.5:80,10.0.0.6:80
  sidelb [::]:8080 mode=least-connections backends=10.0.0.5:80,[2001:db8::6]:80
  sidelb 0.0.0.0:8080 ring_domain=web.example:80
  sidelb --control unix:/tmp/control.sock
)";

// A value with the way in which the user wrote it, as in "mode=p2c", "--mode p2c" or
// "SIDELB_MODE=p2c": that is how an error names it.
struct Setting {
  std::string written;
  std::string value;
};

// One of the settings that can be a word, a flag or a variable.
struct Source {
  std::string_view word;  // without '='; empty: the word without '='
  std::string flag;
  const char* variable;
  std::string flag_value = "";
  std::optional<Setting> setting = std::nullopt;
};

class Parser {
 public:
  Parser(const std::vector<std::string>& arguments, const Environment& environment)
      : arguments_(arguments), environment_(environment) {}

  std::variant<Options, Exit, StatusCheck> Run() {
    if (std::optional<Exit> exit = ReadArguments()) return *std::move(exit);
    if (IsGiven(kStatusCheckFlag)) return ReadStatusCheck();
    ReadWords();
    ReadSources();
    ReadStandalone();
    ReadConfigFile();
    ReadFlags();
    ReadSecurity();
    ReadControl();
    ReadStatusSocket();
    ReadStateDir();
    if (!error_.empty()) return UsageError(error_);
    return options_;
  }

 private:
  static Exit UsageError(std::string_view why) {
    return {2, fmt::format("sidelb: {}\n`sidelb --help` shows what is allowed.\n", why)};
  }

  // The first error is the one that is told.
  void Fail(std::string error) {
    if (error_.empty()) error_ = std::move(error);
  }
  void Fail(const Setting& setting, std::string_view why) {
    Fail(fmt::format("{}: {}", setting.written, why));
  }

  std::optional<Exit> ReadArguments() {
    CLI::App app;
    app.set_help_flag("-h,--help");
    app.set_version_flag("-V,--version", "sidelb " SIDELB_VERSION);
    app.add_option("words", words_);
    for (Source& source : sources_) app.add_option(source.flag, source.flag_value);
    for (auto& [flag, value] : flags_) app.add_option(flag, value);
    app.add_flag("--control-insecure", is_insecure_allowed_);
    app.add_option(std::string(kStatusCheckFlag), status_check_path_)->expected(0, 1);
    try {
      app.parse(std::vector<std::string>(arguments_.rbegin(), arguments_.rend()));
    } catch (const CLI::CallForHelp&) {
      return Exit{0, std::string(kHelp)};
    } catch (const CLI::CallForVersion&) {
      return Exit{0, "sidelb " SIDELB_VERSION "\n"};
    } catch (const CLI::ExtrasError&) {
      return UsageError(fmt::format("unknown argument: {}", fmt::join(app.remaining(), " ")));
    } catch (const CLI::ParseError& error) {
      return UsageError(error.what());
    }
    for (const CLI::Option* option : app.get_options()) {
      if (option->count() > 0) given_.push_back(option->get_name());
    }
    return std::nullopt;
  }

  bool IsGiven(std::string_view flag) const {
    return std::find(given_.begin(), given_.end(), flag) != given_.end();
  }

  void ReadWords() {
    for (const std::string& word : words_) {
      const size_t equal = word.find('=');
      const std::string key = equal == std::string::npos ? "" : word.substr(0, equal);
      const auto source = std::find_if(sources_.begin(), sources_.end(),
                                       [&key](const Source& one) { return one.word == key; });
      if (source == sources_.end() || (equal == 0)) {
        Fail(fmt::format(
            "{}: '{}' is unknown; allowed: mode=, proto=, backends=, ring_domain=, group_by_ip=",
            word, key));
        continue;
      }
      const std::string value = equal == std::string::npos ? word : word.substr(equal + 1);
      Give(&*source, {word, value});
    }
  }

  void Give(Source* source, Setting setting) {
    if (source->setting) {
      Fail(fmt::format("{} and {} are given; write one of them", source->setting->written,
                       setting.written));
      return;
    }
    source->setting = std::move(setting);
  }

  // Flags and variables, where no word is given.
  void ReadSources() {
    for (Source& source : sources_) {
      if (IsGiven(source.flag)) {
        Give(&source, {fmt::format("{} {}", source.flag, source.flag_value), source.flag_value});
      }
      if (!source.setting) source.setting = Variable(source.variable);
    }
  }

  std::optional<Setting> Variable(const char* name) const {
    const auto value = environment_.get_variable(name);
    if (!value || value->empty()) return std::nullopt;
    return Setting{fmt::format("{}={}", name, *value), *value};
  }

  void ReadStandalone() {
    const auto& [bind, mode, protocol, backends, ring_domain, group_by_ip] = sources_;
    if (bind.setting) {
      if (const auto address = ParseAddress(*bind.setting, bind.setting->value)) {
        options_.bind = *address;
      }
    }
    if (mode.setting) ReadMode(*mode.setting);
    if (protocol.setting) ReadProtocol(*protocol.setting);
    if (backends.setting) ReadBackends(*backends.setting);
    if (ring_domain.setting) ReadRingDomains(*ring_domain.setting);
    if (group_by_ip.setting) ReadGrouping(*group_by_ip.setting);
    for (const Source* source : {&mode, &protocol, &backends, &ring_domain, &group_by_ip}) {
      if (!source->setting || bind.setting) continue;
      Fail(*source->setting,
           "needs an address to listen on: write IP:PORT first, 0.0.0.0:8080 for example");
    }
    if (bind.setting && !backends.setting && !ring_domain.setting) {
      Fail(*bind.setting,
           "needs backends: write backends=IP:PORT,... or ring_domain=NAME:PORT beside it; without "
           "an address it starts empty and waits for gRPC");
    }
  }

  void ReadConfigFile() {
    std::optional<Setting> setting = Flag("--config");
    if (!setting) setting = Variable("SIDELB_CONFIG");
    if (!setting) return;
    if (setting->value.empty()) Fail(*setting, "is empty; allowed: the path of a file");
    const Source& bind = sources_.front();
    if (bind.setting) {
      Fail(*setting,
           fmt::format("names what {} names as well; write one of them", bind.setting->written));
    }
    options_.config_file = setting->value;
  }

  std::optional<Address> ParseAddress(const Setting& setting, std::string_view text) {
    const absl::StatusOr<Address> address = Address::Parse(text);
    if (address.ok()) return *address;
    const std::string why(address.status().message());
    Fail(setting.written == text ? why : fmt::format("{}: {}", setting.written, why));
    return std::nullopt;
  }

  void ReadMode(const Setting& setting) {
    const std::optional<Mode> mode = ParseMode(setting.value);
    if (!mode) {
      Fail(setting, fmt::format("'{}' is no mode; allowed: {}", setting.value, kModes));
    } else {
      options_.mode = *mode;
    }
  }

  void ReadProtocol(const Setting& setting) {
    if (setting.value == "udp") {
      options_.protocol = control::Protocol::kUdp;
    } else if (setting.value != "tcp") {
      Fail(setting, fmt::format("'{}' is no protocol; allowed: tcp, udp", setting.value));
    }
  }

  void ReadGrouping(const Setting& setting) {
    if (setting.value == "true") {
      options_.group_by_ip = true;
    } else if (setting.value != "false") {
      Fail(setting, fmt::format("'{}' is neither; allowed: true, false", setting.value));
    }
  }

  void ReadBackends(const Setting& setting) {
    if (setting.value.empty()) {
      Fail(setting, "is empty; allowed: IP:PORT,IP:PORT,...");
      return;
    }
    const std::vector<std::string> texts = absl::StrSplit(setting.value, ',');
    for (const std::string& text : texts) {
      const std::optional<Address> address = ParseAddress(setting, text);
      if (!address) return;
      if (address->port() == 0) {
        Fail(setting, fmt::format("'{}' has port 0; allowed: 1 to 65535", text));
        return;
      }
      if (std::count(options_.backends.begin(), options_.backends.end(), *address) > 0) {
        Fail(setting, fmt::format("{} is named twice", address->ToString()));
        return;
      }
      options_.backends.push_back(*address);
    }
  }

  void ReadRingDomains(const Setting& setting) {
    const std::vector<std::string> texts = absl::StrSplit(setting.value, ',');
    for (const std::string& text : texts) {
      const size_t colon = text.rfind(':');
      const std::string name = text.substr(0, colon);
      uint32_t port = 0;
      if (colon == std::string::npos) {
        Fail(setting, fmt::format("'{}' has no port; allowed: NAME:PORT,NAME:PORT,...", name));
        return;
      }
      const char* const end = text.data() + text.size();
      const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, port);
      if (error != std::errc() || rest != end || port < 1 || port > 65'535) {
        Fail(setting, fmt::format("'{}' has a wrong port; allowed: 1 to 65535", text));
        return;
      }
      options_.ring_domains.push_back({.domain = name, .port = port});
    }
    // The same rules as over gRPC, without the path of the field.
    const absl::Status status = control::ValidateRingDomains(options_.ring_domains, "");
    if (const auto details = control::GetErrorDetails(status)) {
      Fail(setting, details->violations.front().description);
    }
  }

  void ReadRingFlags() {
    if (const std::optional<Setting> resolver = Flag("--resolver")) {
      const std::optional<Address> address = ParseAddress(*resolver, resolver->value);
      if (address && address->port() == 0) Fail(*resolver, "has port 0; allowed: 1 to 65535");
      options_.resolver = address;
    }
    const std::optional<Setting> max_ttl = Flag("--ring-max-ttl");
    if (!max_ttl) return;
    absl::Duration longest;
    ReadDuration("--ring-max-ttl", &longest);
    if (options_.ring_domains.empty()) {
      Fail(*max_ttl, "needs ring_domain=NAME:PORT; a pool made over gRPC has max_ttl for it");
    }
    for (control::RingDomainSpec& domain : options_.ring_domains) domain.max_ttl = longest;
    const absl::Status status = control::ValidateRingDomains(options_.ring_domains, "");
    if (const auto details = control::GetErrorDetails(status)) {
      Fail(*max_ttl, details->violations.front().description);
    }
  }

  void ReadFlags() {
    ReadRingFlags();
    options_.shards = std::clamp<size_t>(environment_.cpus, 1, kMaxShards);
    if (const auto shards = ReadNumber("--shards", 1, kMaxShards)) options_.shards = *shards;
    constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
    if (const auto count = ReadNumber("--max-connections", 1, kMost)) {
      options_.max_connections = *count;
    }
    if (const auto time = ReadNumber("--busy-poll-us", 0, kMaxBusyPollUs)) {
      options_.busy_poll = std::chrono::microseconds(*time);
    }
    ReadDuration("--drain-timeout", &options_.drain_timeout, "SIDELB_DRAIN_TIMEOUT");
    ReadDuration("--drain-delay", &options_.drain_delay);
    ReadChoice<LogLevel>("--log-level",
                         {{"trace", LogLevel::kTrace},
                          {"debug", LogLevel::kDebug},
                          {"info", LogLevel::kInfo},
                          {"warning", LogLevel::kWarning},
                          {"error", LogLevel::kError}},
                         &options_.log_level);
    ReadChoice<LogFormat>("--log-format", {{"text", LogFormat::kText}, {"json", LogFormat::kJson}},
                          &options_.log_format);
  }

  std::optional<Setting> Flag(std::string_view name) const {
    if (!IsGiven(name)) return std::nullopt;
    for (const auto& [flag, value] : flags_) {
      if (flag == name) return Setting{fmt::format("{} {}", flag, value), value};
    }
    return std::nullopt;
  }

  std::optional<uint64_t> ReadNumber(std::string_view name, uint64_t least, uint64_t most) {
    const std::optional<Setting> setting = Flag(name);
    if (!setting) return std::nullopt;
    const std::string& text = setting->value;
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < least ||
        number > most) {
      Fail(*setting,
           fmt::format("'{}' is outside of what is allowed: {} to {}", text, least, most));
      return std::nullopt;
    }
    return number;
  }

  void ReadDuration(std::string_view name, absl::Duration* into, const char* variable = nullptr) {
    std::optional<Setting> setting = Flag(name);
    if (!setting && variable != nullptr) setting = Variable(variable);
    if (!setting) return;
    absl::Duration duration;
    if (!absl::ParseDuration(setting->value, &duration) || duration < absl::ZeroDuration() ||
        duration > kMaxDrain) {
      Fail(*setting, fmt::format("'{}' is no time from 0s to 24h; allowed: 25s, 1m30s, 500ms, ...",
                                 setting->value));
      return;
    }
    *into = duration;
  }

  template <typename T>
  void ReadChoice(std::string_view name, const std::vector<std::pair<std::string_view, T>>& choices,
                  T* into) {
    const std::optional<Setting> setting = Flag(name);
    if (!setting) return;
    std::vector<std::string_view> names;
    for (const auto& [choice, value] : choices) {
      names.push_back(choice);
      if (choice != setting->value) continue;
      *into = value;
      return;
    }
    Fail(*setting,
         fmt::format("'{}' is unknown; allowed: {}", setting->value, fmt::join(names, ", ")));
  }

  void ReadControl() {
    const std::optional<Setting> setting = Flag("--control");
    if (!setting) {
      options_.default_sockets =
          rpc::DefaultSocketPaths(environment_.get_variable("XDG_RUNTIME_DIR").value_or(""));
      return;
    }
    const absl::StatusOr<rpc::Endpoint> endpoint = rpc::ParseEndpoint(setting->value);
    if (!endpoint.ok()) {
      Fail(fmt::format("--control: {}", std::string(endpoint.status().message())));
      return;
    }
    if (!endpoint->is_local() && !is_insecure_allowed_) CheckExposed(*setting);
    options_.control = *endpoint;
  }

  // An endpoint that other machines reach must know whom it talks to.
  void CheckExposed(const Setting& setting) {
    const rpc::Security& security = options_.security;
    if (!security.tls) {
      Fail(setting,
           "other machines could change the configuration, because this endpoint has no "
           "authentication and no encryption; allowed: --tls-cert, --tls-key and --tls-client-ca "
           "beside it, a unix socket, a loopback address, or --control-insecure");
    } else if (security.tls->client_ca.empty() && security.roles.empty()) {
      Fail(setting,
           "other machines could change the configuration, because nobody needs a certificate; "
           "allowed: --tls-client-ca or --roles beside it, or --control-insecure");
    }
  }

  void ReadSecurity() {
    const std::optional<Setting> certificate = File("--tls-cert");
    const std::optional<Setting> key = File("--tls-key");
    const std::optional<Setting> client_ca = File("--tls-client-ca");
    if (const std::optional<Setting> roles = File("--roles"))
      options_.security.roles = roles->value;
    if (certificate && !key) Fail(*certificate, "needs --tls-key FILE beside it");
    if (key && !certificate) Fail(*key, "needs --tls-cert FILE beside it");
    if (client_ca && !certificate) Fail(*client_ca, "needs --tls-cert and --tls-key beside it");
    if (!certificate || !key) return;
    options_.security.tls = rpc::TlsPaths{.certificate = certificate->value,
                                          .key = key->value,
                                          .client_ca = client_ca ? client_ca->value : ""};
    const std::optional<Setting> control = Flag("--control");
    if (!control || control->value.starts_with("unix:")) {
      Fail(*certificate, "is for --control IP:PORT; the unix socket knows its users without TLS");
    }
  }

  // A flag that names a file.
  std::optional<Setting> File(std::string_view name) {
    std::optional<Setting> setting = Flag(name);
    if (setting && setting->value.empty()) Fail(*setting, "is empty; allowed: the path of a file");
    return setting;
  }

  void ReadStateDir() {
    std::optional<Setting> setting = Flag("--state-dir");
    if (!setting) setting = Variable("SIDELB_STATE_DIR");
    if (!setting) return;
    if (setting->value.empty()) Fail(*setting, "is empty; allowed: a folder");
    options_.state_dir = setting->value;
  }

  void ReadStatusSocket() {
    const std::optional<Setting> setting = Flag("--status-socket");
    options_.status_place = StatusPlace::kDefault;
    if (!setting) return;
    if (setting->value.empty()) Fail(*setting, "is empty; allowed: a path, or none");
    options_.status_place = setting->value == "none" ? StatusPlace::kNowhere : StatusPlace::kPath;
    if (options_.status_place == StatusPlace::kPath) options_.status_path = setting->value;
  }

  StatusCheck ReadStatusCheck() const {
    if (!status_check_path_.empty()) return {.paths = {status_check_path_}};
    return {.paths = StatusSearchPaths(rpc::DefaultSocketPaths(
                environment_.get_variable("XDG_RUNTIME_DIR").value_or("")))};
  }

  const std::vector<std::string>& arguments_;
  const Environment& environment_;
  std::vector<std::string> words_;
  std::array<Source, 6> sources_{{{"", "--bind", "SIDELB_BIND_ADDR"},
                                  {"mode", "--mode", "SIDELB_MODE"},
                                  {"proto", "--proto", "SIDELB_PROTO"},
                                  {"backends", "--backends", "SIDELB_BACKENDS"},
                                  {"ring_domain", "--ring-domain", "SIDELB_RING_DOMAIN"},
                                  {"group_by_ip", "--group-by-ip", "SIDELB_GROUP_BY_IP"}}};
  std::array<std::pair<std::string, std::string>, 17> flags_{{{"--control", ""},
                                                              {"--tls-cert", ""},
                                                              {"--tls-key", ""},
                                                              {"--tls-client-ca", ""},
                                                              {"--roles", ""},
                                                              {"--config", ""},
                                                              {"--state-dir", ""},
                                                              {"--status-socket", ""},
                                                              {"--resolver", ""},
                                                              {"--ring-max-ttl", ""},
                                                              {"--shards", ""},
                                                              {"--max-connections", ""},
                                                              {"--busy-poll-us", ""},
                                                              {"--drain-timeout", ""},
                                                              {"--drain-delay", ""},
                                                              {"--log-level", ""},
                                                              {"--log-format", ""}}};
  std::string status_check_path_;
  bool is_insecure_allowed_ = false;
  std::vector<std::string> given_;  // flags, as "--bind"
  Options options_;
  std::string error_;
};

}  // namespace

Environment SystemEnvironment() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  size_t cpus = 0;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    cpus = static_cast<size_t>(CPU_COUNT(&allowed));
  }
  if (cpus == 0) cpus = std::max(1u, std::thread::hardware_concurrency());
  return {
      .get_variable = [](const char* name) -> std::optional<std::string> {
        const char* value = std::getenv(name);
        return value == nullptr ? std::nullopt : std::optional<std::string>(value);
      },
      .cpus = cpus,
  };
}

std::variant<Options, Exit, StatusCheck> ParseOptions(const std::vector<std::string>& arguments,
                                                      const Environment& environment) {
  return Parser(arguments, environment).Run();
}

}  // namespace sidelb::server
