// What a batch would change of a configuration: the differences that `diff` shows.
//
// Thread safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "client/cli/message_diff.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

struct ObjectChange {
  enum class Kind { kAdded, kRemoved, kChanged };
  Kind kind = Kind::kChanged;
  std::string object;               // "pool/web", "backend/web/10.0.0.5:80", "override/web/..."
  std::vector<FieldChange> fields;  // of what is removed none
};

// `request` against `current`, the configuration as VIEW_CONFIG reads it. `checked`, the daemon's
// answer to the same request with validate_only, has the last word: an op that it finds to change
// nothing changes nothing.
std::vector<ObjectChange> DiffRequest(const pb::ApplyRequest& request, const pb::State& current,
                                      const pb::ApplyResponse* checked);

}  // namespace sidelb::client
