// ReadFile: a small file as a whole.
//
// Thread safety: a pure function of the file.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace sidelb::rpc {

// What errno says, with the path; INVALID_ARGUMENT when there are more than `limit` bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit);

}  // namespace sidelb::rpc
