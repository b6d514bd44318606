// ConfigFile: what `--config FILE` says, as one Apply of owner `static`: JSON as `sidelb-cli
// export` writes it, with listeners, pools and backends.
//
// What the file names is put as it stands there, and the claims of `static` become exactly its
// backends. What an earlier reading named and this one does not is removed. Objects that no reading
// named are left alone. Claims of ring domains, overrides and what is output only are not read: the
// pool's ring_domains bring the former, and an override is an operator's.
//
// Thread safety: values; ParseConfig() is pure.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/control/model.h"

namespace sidelb::server {

// Objects that a reading named.
struct ConfigNames {
  std::set<std::string> listeners;
  std::set<std::string> pools;
};

struct Config {
  control::ApplyRequest request;
  std::vector<std::string> places;  // where in the file each op comes from, "pools[0]"
  ConfigNames names;
  size_t backends = 0;
  size_t overrides_left_out = 0;
};

// At most 64 MiB. NOT_FOUND, PERMISSION_DENIED ... with the name of the file and the errno text.
absl::StatusOr<std::string> ReadConfigFile(const std::string& file);

// `before` is what the last reading that took effect named. INVALID_ARGUMENT: the file, the line of
// a syntax error or the path of the field, and what is allowed.
absl::StatusOr<Config> ParseConfig(const std::string& file, const std::string& text,
                                   const ConfigNames& before);

// What control said of `config.request`, in the words of the file.
absl::Status InWordsOfFile(const std::string& file, const Config& config,
                           const absl::Status& status);

}  // namespace sidelb::server
