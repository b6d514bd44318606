// Errors of the control plane: an absl::Status that carries a machine-readable reason, its
// metadata, and the request fields at fault. rpc/status turns them into google.rpc details.
//
// Thread safety: pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace sidelb::control {

struct FieldViolation {
  std::string field;  // "ops[3].upsert_backends.backends[17].weight"
  std::string description;
};

struct ErrorDetails {
  std::string reason;  // "BAD_FIELD", "POOL_NOT_FOUND", "REVISION_MISMATCH", ...
  std::map<std::string, std::string> metadata;
  std::vector<FieldViolation> violations;
};

// A status with `details` attached as a payload.
absl::Status MakeError(absl::StatusCode code, std::string_view message, ErrorDetails details);
// INVALID_ARGUMENT, reason BAD_FIELD, one violation. The message is "`field`: `description`".
absl::Status BadField(std::string_view field, std::string_view description);
// What MakeError() attached; nullopt for statuses of other origin.
std::optional<ErrorDetails> GetErrorDetails(const absl::Status& status);

}  // namespace sidelb::control
