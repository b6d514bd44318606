// Statuses of the control plane as gRPC sends them: code, message and, in the trailer
// grpc-status-details-bin, google.rpc.Status with ErrorInfo (domain "sidelb"), BadRequest and
// RetryInfo. See https://google.aip.dev/193.
//
// Thread safety: pure functions.
#pragma once

#include <grpcpp/support/status.h>

#include <string_view>

#include "absl/status/status.h"

namespace sidelb::rpc {

inline constexpr std::string_view kErrorDomain = "sidelb";

// RetryInfo goes with UNAVAILABLE of reasons STARTING, SERVER_DRAINING and STORE_UNAVAILABLE. Names and texts of the
// request that an error repeats are cut, so that the trailers stay under the 8 KiB that gRPC's
// clients accept: a longer one would hide the error from the caller.
grpc::Status ToGrpcStatus(const absl::Status& status);

// UNIMPLEMENTED, reason CAPABILITY: `what` is not built yet. `field` may be empty.
absl::Status CapabilityError(std::string_view field, std::string_view what);
// UNAVAILABLE, reason SERVER_DRAINING.
absl::Status DrainingError();

}  // namespace sidelb::rpc
