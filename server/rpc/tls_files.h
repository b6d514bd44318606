// TlsFiles: certificate, key and client CA of the control endpoint, re-read when a file changes.
// What cannot be used (a broken file, a key that does not fit the certificate because only one of
// the two was replaced so far) leaves what was there in use, and is logged once.
//
// Thread safety: any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sidelb::rpc {

struct TlsPaths {
  std::string certificate;  // PEM, the daemon's own first, then its chain
  std::string key;          // PEM, without a passphrase
  std::string client_ca;    // PEM; empty = clients need no certificate
};

// The texts of the files.
struct TlsMaterial {
  std::string certificate;
  std::string key;
  std::string client_ca;
};

class TlsFiles {
 public:
  // INVALID_ARGUMENT that names the file and what is wrong with it.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Load(const TlsPaths& paths);

  // What to use now. Looks at the files, and reads them if one was replaced or written to.
  std::shared_ptr<const TlsMaterial> Current();

  bool asks_clients() const { return !paths_.client_ca.empty(); }

 private:
  explicit TlsFiles(const TlsPaths& paths) : paths_(paths) {}

  // Changes whenever a file does.
  std::string Stamp() const;
  absl::StatusOr<std::shared_ptr<const TlsMaterial>> Read() const;

  const TlsPaths paths_;
  std::mutex mutex_;
  std::string stamp_;                           // guarded by mutex_
  std::shared_ptr<const TlsMaterial> current_;  // guarded by mutex_
};

// Whether TLS can begin with them: the error says what cannot, with the names of `paths`.
absl::Status CheckTlsMaterial(const TlsMaterial& material, const TlsPaths& paths);

}  // namespace sidelb::rpc
