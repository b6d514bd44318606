#include "client/tls.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

absl::Status Wrong(std::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "USAGE", why);
}

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  if (path.empty()) return std::string();
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) {
    return Wrong(fmt::format("{}: {}", path, std::strerror(errno == 0 ? EIO : errno)));
  }
  // gRPC would only say that the connection could not be made.
  if (text.find("-----BEGIN ") == std::string::npos) {
    return Wrong(fmt::format("{}: has nothing in PEM in it (-----BEGIN ...)", path));
  }
  return text;
}

}  // namespace

absl::StatusOr<Tls> ReadTls(const TlsFiles& files) {
  if (files.ca.empty()) return Wrong("TLS needs --cacert FILE: who signs the daemon's certificate");
  if (files.certificate.empty() != files.key.empty()) {
    return Wrong("--cert and --key go together; one of them is missing");
  }
  auto ca = ReadPem(files.ca);
  if (!ca.ok()) return ca.status();
  auto certificate = ReadPem(files.certificate);
  if (!certificate.ok()) return certificate.status();
  auto key = ReadPem(files.key);
  if (!key.ok()) return key.status();
  return Tls{*std::move(ca), *std::move(certificate), *std::move(key), files.server_name};
}

}  // namespace sidelb::client
