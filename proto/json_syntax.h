// Checks the syntax of a JSON text (RFC 8259) and says where it is wrong, in lines and columns,
// which protobuf's own parser does not.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace sidelb {

// The keys of the object that `text` is, in their order; none when it is an array. Anything else at
// the top, a syntax error, a key that an object holds twice, or nesting deeper than 64 is
// INVALID_ARGUMENT: "line 3, column 14: expected ':' after the key".
absl::StatusOr<std::vector<std::string>> CheckJson(std::string_view text);

}  // namespace sidelb
