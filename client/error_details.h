// The details of an error, as the daemon sends them (google.rpc messages in the trailer
// grpc-status-details-bin) and as the client itself makes them.
//
// An error of this library is an absl::Status that carries each detail as a payload under its type
// URL; GetErrorDetails() reads them. Source: https://google.aip.dev/193.
//
// Thread safety: pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace google::rpc {
class Status;
}

namespace sidelb::client {

struct FieldViolation {
  std::string field;  // "ops[3].upsert_backends.backends[17].weight"
  std::string description;
};

struct ErrorDetails {
  std::string reason;  // "POOL_NOT_FOUND"; empty when the error carries none
  std::string domain;  // "sidelb" for the daemon's errors, "sidelb-client" for the client's
  std::map<std::string, std::string> metadata;
  std::vector<FieldViolation> violations;
  std::optional<absl::Duration> retry_delay;
};

// The reasons that the client itself gives.
inline constexpr std::string_view kReasonUnreachable = "UNREACHABLE";         // nothing was sent
inline constexpr std::string_view kReasonConnectionLost = "CONNECTION_LOST";  // while waiting
inline constexpr std::string_view kReasonTimeout = "TIMEOUT";                 // no answer in time

// All details that `status` carries. Empty for OK and for statuses of other origin.
ErrorDetails GetErrorDetails(const absl::Status& status);

// An error of the client's own domain.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message);

// Between absl::Status and the wire form. `serialized` is a google.rpc.Status; details that cannot
// be parsed are left out, the code and the message stay.
absl::Status WithSerializedDetails(absl::Status status, const std::string& serialized);
google::rpc::Status ToRpcStatus(const absl::Status& status);

}  // namespace sidelb::client
