#include "client/endpoint.h"

#include <sys/stat.h>
#include <sys/un.h>

#include <charconv>
#include <cstdlib>
#include <vector>

#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;

absl::Status Bad(std::string_view text, std::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_ENDPOINT",
                   fmt::format("endpoint \"{}\" {}; allowed: unix:PATH or HOST:PORT, as in "
                               "unix:/run/sidelb/control.sock or 127.0.0.1:7000",
                               text, why));
}

}  // namespace

std::string Endpoint::ToString() const {
  return kind == Kind::kUnix ? fmt::format("{}{}", kUnixPrefix, address) : address;
}

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  // The system would take it for the end.
  if (text.find('\0') != std::string_view::npos) return Bad(text, "has a zero byte in it");
  if (text.starts_with(kUnixPrefix)) {
    std::string_view path = text.substr(kUnixPrefix.size());
    while (path.starts_with("//")) path.remove_prefix(1);  // the URI form unix:///PATH
    if (path.empty()) return Bad(text, "has no path");
    if (path.size() > kMaxPathBytes) {
      return Bad(text,
                 fmt::format("has a path of {} bytes, more than the {} that a socket address holds",
                             path.size(), kMaxPathBytes));
    }
    return Endpoint{Endpoint::Kind::kUnix, std::string(path)};
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']')) return Bad(text, "has no port");
  const std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  uint32_t port = 0;
  const char* const end = digits.data() + digits.size();
  const auto [parsed, error] = std::from_chars(digits.data(), end, port);
  if (error != std::errc() || parsed != end || port == 0 || port > 65'535) {
    return Bad(text, "has no port from 1 to 65535");
  }
  if (host.empty() || host == "[]") return Bad(text, "has no host");
  if (host.find_first_of("/ \t") != std::string_view::npos) {
    return Bad(text, "is neither a socket nor a host and a port");
  }
  const bool is_bracketed = host.starts_with('[') && host.ends_with(']');
  if (!is_bracketed && host.find(':') != std::string_view::npos) {
    return Bad(text, "has an IPv6 address without brackets");
  }
  return Endpoint{Endpoint::Kind::kTcp, std::string(text)};
}

EndpointSources SystemEndpointSources() {
  return {
      .get_variable = [](const char* name) -> std::optional<std::string> {
        const char* value = std::getenv(name);
        return value == nullptr ? std::nullopt : std::optional<std::string>(value);
      },
      .is_socket =
          [](const std::string& path) {
            struct stat found;
            return stat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode);
          },
  };
}

absl::StatusOr<Endpoint> FindEndpoint(std::string_view chosen, const EndpointSources& sources) {
  if (!chosen.empty()) return ParseEndpoint(chosen);
  if (const auto value = sources.get_variable("SIDELB_ENDPOINT"); value && !value->empty()) {
    return ParseEndpoint(*value);
  }
  std::vector<std::string> paths = {"/run/sidelb/control.sock"};
  if (const auto value = sources.get_variable("XDG_RUNTIME_DIR"); value && !value->empty()) {
    paths.push_back(fmt::format("{}/sidelb/control.sock", *value));
  }
  for (const std::string& path : paths) {
    if (sources.is_socket(path)) return Endpoint{Endpoint::Kind::kUnix, path};
  }
  return MakeError(absl::StatusCode::kUnavailable, "UNREACHABLE",
                   fmt::format("no daemon was found: there is no socket at {}; is sidelb running? "
                               "Name another endpoint with --endpoint or SIDELB_ENDPOINT",
                               fmt::join(paths, " or ")));
}

}  // namespace sidelb::client
