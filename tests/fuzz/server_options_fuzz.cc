// Arguments and environment of the daemon.
#include <set>
#include <variant>

#include "server/options.h"
#include "tests/fuzz/fuzz.h"

using sidelb::fuzz::Require;
using sidelb::server::Exit;
using sidelb::server::Options;
using sidelb::server::StatusCheck;
using sidelb::server::StatusPlace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sidelb::fuzz::CommandLine line(sidelb::fuzz::Text(data, size));
  const auto parsed = sidelb::server::ParseOptions(
      line.arguments,
      {.get_variable = [&line](const char* name) { return line.Variable(name); }, .cpus = 2});
  if (const auto* exit = std::get_if<Exit>(&parsed)) {
    Require(exit->code == 0 || exit->code == 2, "the exit code is 0 or 2");
    Require(exit->text.ends_with('\n') && exit->text.size() > 1, "it says why", exit->text);
    return 0;
  }
  if (const auto* check = std::get_if<StatusCheck>(&parsed)) {
    Require(!check->paths.empty(), "there is a status socket to ask");
    return 0;
  }
  const Options& options = std::get<Options>(parsed);
  Require((options.status_place == StatusPlace::kPath) != options.status_path.empty(),
          "the status socket has a path when it is named");
  Require(options.shards >= 1 && options.shards <= 256, "1 to 256 shards");
  Require(options.max_connections <= UINT32_MAX, "the limit of connections has 32 bits");
  std::set<sidelb::Address> backends;
  for (const sidelb::Address& backend : options.backends) {
    Require(backend.port() != 0, "a backend has a port", backend.ToString());
    Require(backends.insert(backend).second, "no backend twice", backend.ToString());
  }
  Require(options.bind.has_value() != (options.backends.empty() && options.ring_domains.empty()),
          "backends need a listener, and the other way round");
  for (const auto& domain : options.ring_domains) {
    Require(domain.port >= 1 && domain.port <= 65'535, "a ring domain has a port", domain.domain);
  }
  Require(options.control.has_value() != !options.default_sockets.empty(),
          "the control endpoint is chosen or searched for");
  for (absl::Duration time : {options.drain_timeout, options.drain_delay}) {
    Require(time >= absl::ZeroDuration() && time <= absl::Hours(24), "a drain is 0s to 24h");
  }
  bool is_insecure_allowed = false;
  for (const std::string& argument : line.arguments) {
    is_insecure_allowed |= argument.starts_with("--control-insecure");
  }
  const auto& security = options.security;
  Require(!options.control || options.control->is_local() || is_insecure_allowed ||
              (security.tls && !(security.tls->client_ca.empty() && security.roles.empty())),
          "an endpoint for other machines knows its callers, or needs a word");
  Require(!security.tls || (!security.tls->certificate.empty() && !security.tls->key.empty()),
          "TLS has a certificate and a key");
  return 0;
}
