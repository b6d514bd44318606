// Endpoint: where the control service listens.
//
// Thread safety: values and pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/base/address.h"

namespace sidelb::rpc {

struct Endpoint {
  enum class Kind : uint8_t { kUnix, kTcp };

  Kind kind = Kind::kUnix;
  std::string path;  // kUnix
  Address address;   // kTcp; port 0 = the kernel chooses

  // "unix:/run/sidelb/control.sock", "127.0.0.1:7000".
  std::string ToString() const;
  // Whether only this machine can reach it.
  bool is_local() const;
};

// Parses "unix:PATH", "IP:PORT" or "localhost:PORT"; other host names are not resolved. Anything
// else is INVALID_ARGUMENT and says what is allowed.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

// Where a daemon that is told nothing puts its socket, best first: /run/sidelb/control.sock, and
// sidelb/control.sock below `runtime_dir` (XDG_RUNTIME_DIR) unless that is empty.
std::vector<std::string> DefaultSocketPaths(const std::string& runtime_dir);

}  // namespace sidelb::rpc
