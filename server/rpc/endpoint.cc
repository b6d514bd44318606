#include "server/rpc/endpoint.h"

#include <cstring>

#include "fmt/format.h"

namespace sidelb::rpc {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::string_view kLocalhost = "localhost:";

absl::Status Bad(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      fmt::format("'{}' {}; allowed: unix:PATH or IP:PORT, as in unix:/run/sidelb/control.sock or "
                  "127.0.0.1:7000",
                  text, why));
}

}  // namespace

std::string Endpoint::ToString() const {
  return kind == Kind::kUnix ? fmt::format("{}{}", kUnixPrefix, path) : address.ToString();
}

bool Endpoint::is_local() const {
  if (kind == Kind::kUnix) return true;
  if (!address.is_v6()) {
    sockaddr_in v4;
    std::memcpy(&v4, address.data(), sizeof(v4));
    return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, address.data(), sizeof(v6));
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  // The system would take it for the end.
  if (text.find('\0') != std::string_view::npos) return Bad(text, "has a zero byte in it");
  Endpoint endpoint;
  if (text.starts_with(kUnixPrefix)) {
    std::string_view path = text.substr(kUnixPrefix.size());
    while (path.starts_with("//")) path.remove_prefix(1);  // the URI form unix:///PATH
    if (path.empty()) return Bad(text, "has no path");
    endpoint.path = std::string(path);
    return endpoint;
  }
  endpoint.kind = Endpoint::Kind::kTcp;
  const std::string resolved = text.starts_with(kLocalhost)
                                   ? fmt::format("127.0.0.1:{}", text.substr(kLocalhost.size()))
                                   : std::string(text);
  const absl::StatusOr<Address> address = Address::Parse(resolved);
  if (!address.ok()) return Bad(text, "is neither a socket nor an IP address with a port");
  endpoint.address = *address;
  return endpoint;
}

std::vector<std::string> DefaultSocketPaths(const std::string& runtime_dir) {
  std::vector<std::string> paths = {"/run/sidelb/control.sock"};
  if (!runtime_dir.empty()) paths.push_back(fmt::format("{}/sidelb/control.sock", runtime_dir));
  return paths;
}

}  // namespace sidelb::rpc
