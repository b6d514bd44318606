// The asking side of the status socket: `sidelb --health-check-uds`.
//
// Thread safety: values; AskStatus() blocks the thread that calls it.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace sidelb::server {

inline constexpr char kHealthy[] = "HEALTHY\n";
inline constexpr char kUnhealthy[] = "UNHEALTHY\n";

// Where a daemon with its control socket at `control_path` (empty: it has none) tells its status,
// best first: where the original did, and status.sock beside the control socket.
std::vector<std::string> StatusSocketPaths(const std::string& control_path);
// Where to look for a daemon whose control socket is one of `control_paths`.
std::vector<std::string> StatusSearchPaths(const std::vector<std::string>& control_paths);

struct StatusCheck {
  std::vector<std::string> paths;             // the first that somebody listens at is asked
  absl::Duration timeout = absl::Seconds(2);  // for all of it
};

struct StatusReport {
  bool is_healthy = false;
  bool is_answer = false;  // the daemon's, for stdout; else an error, for stderr
  std::string text;        // with a newline
};

StatusReport AskStatus(const StatusCheck& check);

}  // namespace sidelb::server
