// Endpoint: where a daemon's control service is reached, and how a client finds it.
//
// Thread safety: values and pure functions; FindEndpoint() asks only what it is given.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sidelb::client {

struct Endpoint {
  enum class Kind { kUnix, kTcp };

  Kind kind = Kind::kUnix;
  std::string address;  // a path, or "host:port" with an IPv6 host in brackets

  // As it is written: "unix:/run/sidelb/control.sock", "127.0.0.1:7000".
  std::string ToString() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// Parses "unix:PATH" or "HOST:PORT"; a host is a name, an IPv4 address or an IPv6 address in
// brackets. Anything else is INVALID_ARGUMENT (reason BAD_ENDPOINT), which says what is allowed.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

// What FindEndpoint() may ask of the system.
struct EndpointSources {
  std::function<std::optional<std::string>(const char* name)> get_variable;
  std::function<bool(const std::string& path)> is_socket;
};
EndpointSources SystemEndpointSources();

// The endpoint to use, the first of: `chosen` unless it is empty, $SIDELB_ENDPOINT,
// /run/sidelb/control.sock and $XDG_RUNTIME_DIR/sidelb/control.sock, of the sockets the first that
// exists. UNAVAILABLE (reason UNREACHABLE) when there is none; the message names all that was
// looked for.
absl::StatusOr<Endpoint> FindEndpoint(std::string_view chosen, const EndpointSources& sources);

}  // namespace sidelb::client
