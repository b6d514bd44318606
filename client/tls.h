// Tls: what a client needs to reach a daemon over TLS.
//
// Thread safety: values and a pure function of the files.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace sidelb::client {

// Texts in PEM.
struct Tls {
  std::string ca;           // who signs the daemon's certificate
  std::string certificate;  // the client's own, with its chain; may be empty, as the key then is
  std::string key;
  std::string server_name;  // that the daemon's certificate must have; empty = the endpoint's host
};

struct TlsFiles {
  std::string ca;
  std::string certificate;
  std::string key;
  std::string server_name;

  bool is_given() const { return !(ca + certificate + key + server_name).empty(); }
};

// Reads the files. INVALID_ARGUMENT (reason USAGE) names the one that cannot be read, or what is
// missing beside it.
absl::StatusOr<Tls> ReadTls(const TlsFiles& files);

}  // namespace sidelb::client
