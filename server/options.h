// Options: what the daemon is told at its start, by arguments and environment.
//
//   sidelb [IP:PORT] [mode=..] [proto=..] [backends=IP:PORT,..] [ring_domain=NAME:PORT,..]
//   [group_by_ip=true|false] [--flags]
//
// Each of the six words may also be a flag or a variable (SIDELB_BIND_ADDR, SIDELB_MODE,
// SIDELB_PROTO, SIDELB_BACKENDS, SIDELB_RING_DOMAIN, SIDELB_GROUP_BY_IP), and so may
// --drain-timeout (SIDELB_DRAIN_TIMEOUT), --config (SIDELB_CONFIG) and --state-dir
// (SIDELB_STATE_DIR); arguments win over variables.
//
// Thread safety: values; ParseOptions() asks only what it is given.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "dataplane/base/address.h"
#include "dataplane/pool/picker.h"
#include "server/control/model.h"
#include "server/rpc/endpoint.h"
#include "server/rpc/rpc_server.h"
#include "server/status_check.h"

namespace sidelb::server {

enum class LogLevel : uint8_t { kTrace, kDebug, kInfo, kWarning, kError };
enum class LogFormat : uint8_t { kText, kJson };

enum class StatusPlace : uint8_t { kNowhere, kDefault, kPath };

struct Options {
  // Standalone: the listener and the pool `default`. Without `bind` the daemon starts empty.
  std::optional<Address> bind;
  Mode mode = Mode::kRoundRobin;
  control::Protocol protocol = control::Protocol::kTcp;
  std::vector<Address> backends;
  std::vector<control::RingDomainSpec> ring_domains;
  bool group_by_ip = false;
  std::string config_file;  // instead of the above; read again at SIGHUP; empty: none

  std::string state_dir;            // empty = the state ends with the process
  std::optional<Address> resolver;  // of ring domains; absent: those of the system
  size_t shards = 1;
  uint64_t max_connections = 0;  // 0 = from RLIMIT_NOFILE
  std::chrono::microseconds busy_poll{0};
  std::optional<rpc::Endpoint> control;  // absent: the first of default_sockets that will do
  std::vector<std::string> default_sockets;
  rpc::Security security;
  StatusPlace status_place = StatusPlace::kNowhere;
  std::string status_path;  // kPath
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  absl::Duration drain_timeout = absl::Seconds(25);
  absl::Duration drain_delay = absl::ZeroDuration();
};

// The program ends before it began: after --help and --version with 0 and a text for stdout, after
// a wrong argument with 2 and a text for stderr, which names the argument, its value and what is
// allowed.
struct Exit {
  int code = 0;
  std::string text;
};

// What ParseOptions() may ask of the system.
struct Environment {
  std::function<std::optional<std::string>(const char* name)> get_variable;
  size_t cpus = 1;  // that the process may run on
};
Environment SystemEnvironment();

// `arguments` without the program's name.
//
// With --health-check-uds a StatusCheck is all that is asked for; what else is written is not
// looked at, because in a container the variables of the daemon are there as well.
std::variant<Options, Exit, StatusCheck> ParseOptions(const std::vector<std::string>& arguments,
                                                      const Environment& environment);

}  // namespace sidelb::server
