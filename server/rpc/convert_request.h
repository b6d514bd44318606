// Requests: from the API to the model. CheckWrite() comes first; what passes both has the right
// shape, and control judges the rest.
//
// Thread safety: pure functions. Errors: INVALID_ARGUMENT (BAD_FIELD) with the path of the field;
// UNIMPLEMENTED (CAPABILITY) for values that are not built yet; FAILED_PRECONDITION
// (OWNER_READ_ONLY) when a caller names an owner that is the daemon's own.
#pragma once

#include "absl/status/statusor.h"
#include "server/control/model.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

namespace pb = sidelb::v1;

// With the defaults of what is absent: owner api:default, wait APPLIED, 5 s; for DRAINED the
// longest drain that the ops name (at least a removal's 30 s) and 5 s more.
absl::StatusOr<control::ApplyRequest> FromProto(const pb::ApplyRequest& request);

// How GetState is asked.
struct StateQuery {
  control::Filter filter;
  bool is_config_only = false;  // VIEW_CONFIG
  size_t page_size = 0;         // 1..2000
  uint64_t min_revision = 0;
};
absl::StatusOr<StateQuery> FromProto(const pb::GetStateRequest& request);

}  // namespace sidelb::rpc
