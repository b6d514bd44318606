// Requests: from the API to the model. CheckWrite() comes first; what passes both has the right
// shape, and control judges the rest.
//
// Thread safety: pure functions. Errors: INVALID_ARGUMENT (BAD_FIELD) with the path of the field;
// UNIMPLEMENTED (CAPABILITY) for values that are not built yet.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/control/model.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

namespace pb = sidelb::v1;

// Who acts in a request that names `owner`.
inline std::string OwnerOf(const std::string& owner) {
  return owner.empty() ? "api:default" : owner;
}

// What is absent gets its default: owner api:default, wait APPLIED; wait_timeout is control's.
absl::StatusOr<control::ApplyRequest> FromProto(const pb::ApplyRequest& request);

// How GetState is asked.
struct StateQuery {
  control::Filter filter;
  bool is_config_only = false;  // VIEW_CONFIG
  size_t page_size = 0;         // 1..2000
  uint64_t min_revision = 0;
};
absl::StatusOr<control::RenewLeaseRequest> FromProto(const pb::RenewLeaseRequest& request);
absl::StatusOr<StateQuery> FromProto(const pb::GetStateRequest& request);

// How GetStats is asked.
struct StatsQuery {
  control::Filter filter;
  bool reset_peaks = false;
};
absl::StatusOr<StatsQuery> FromProto(const pb::GetStatsRequest& request);

// How Watch is asked.
struct WatchQuery {
  control::Filter filter;
  bool is_config_only = false;  // VIEW_CONFIG
  std::string resume_epoch;     // empty = it does not resume
  uint64_t resume_position = 0;
  bool skip_snapshot = false;
  absl::Duration heartbeat_interval;
};
absl::StatusOr<WatchQuery> FromProto(const pb::WatchRequest& request);

// How Shutdown is asked.
struct ShutdownQuery {
  bool is_cancel = false;
  std::optional<absl::Duration> drain_timeout;  // 0 s to 24 h; absent = the daemon's own
  std::string comment;
};
absl::StatusOr<ShutdownQuery> FromProto(const pb::ShutdownRequest& request);

// OUT_OF_RANGE never: a page of the audit has no snapshot that could expire.
absl::StatusOr<control::AuditQuery> FromProto(const pb::ListAuditRequest& request);

// The same for requests that ask for the same change, whatever their request_id and wait.
uint64_t PayloadOf(const pb::ApplyRequest& request);

}  // namespace sidelb::rpc
