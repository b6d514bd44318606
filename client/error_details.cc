#include "client/error_details.h"

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"

namespace sidelb::client {
namespace {

template <typename Message>
std::string TypeUrl() {
  return "type.googleapis.com/" + Message::descriptor()->full_name();
}

// The payload of `status` that holds a Message; nullopt when there is none or it does not parse.
template <typename Message>
std::optional<Message> Payload(const absl::Status& status) {
  const auto bytes = status.GetPayload(TypeUrl<Message>());
  Message message;
  if (!bytes || !message.ParseFromString(std::string(*bytes))) return std::nullopt;
  return message;
}

}  // namespace

ErrorDetails GetErrorDetails(const absl::Status& status) {
  ErrorDetails details;
  if (const auto info = Payload<google::rpc::ErrorInfo>(status)) {
    details.reason = info->reason();
    details.domain = info->domain();
    details.metadata.insert(info->metadata().begin(), info->metadata().end());
  }
  if (const auto request = Payload<google::rpc::BadRequest>(status)) {
    for (const auto& violation : request->field_violations()) {
      details.violations.push_back({violation.field(), violation.description()});
    }
  }
  if (const auto retry = Payload<google::rpc::RetryInfo>(status)) {
    details.retry_delay = absl::Seconds(retry->retry_delay().seconds()) +
                          absl::Nanoseconds(retry->retry_delay().nanos());
  }
  return details;
}

absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain("sidelb-client");
  absl::Status status(code, std::string(message));
  status.SetPayload(TypeUrl<google::rpc::ErrorInfo>(), absl::Cord(info.SerializeAsString()));
  return status;
}

absl::Status WithSerializedDetails(absl::Status status, const std::string& serialized) {
  google::rpc::Status parsed;
  if (status.ok() || serialized.empty() || !parsed.ParseFromString(serialized)) return status;
  for (const auto& detail : parsed.details()) {
    status.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return status;
}

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status rpc;
  rpc.set_code(static_cast<int>(status.code()));
  rpc.set_message(std::string(status.message()));
  status.ForEachPayload([&rpc](absl::string_view url, const absl::Cord& bytes) {
    auto* detail = rpc.add_details();
    detail->set_type_url(std::string(url));
    detail->set_value(std::string(bytes));
  });
  return rpc;
}

}  // namespace sidelb::client
