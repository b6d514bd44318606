// Counters: from the model to the API.
//
// Thread safety: pure functions.
#pragma once

#include "absl/status/status.h"
#include "server/control/stats.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

namespace pb = sidelb::v1;

pb::StatRow ToProto(const control::StatRow& row);
pb::GetStatsResponse ToProto(const control::Stats& stats);

// RESOURCE_EXHAUSTED (REPLY_TOO_LARGE) when gRPC would not send it: that there are no pages makes
// the filter the way to less.
absl::Status CheckSize(const pb::GetStatsResponse& response);

}  // namespace sidelb::rpc
