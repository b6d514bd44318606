#include "server/rpc/status.h"

#include <algorithm>
#include <string>

#include "fmt/format.h"
#include "google/rpc/error_details.pb.h"
#include "server/control/errors.h"

namespace sidelb::rpc {
namespace {

// The message is sent twice: percent-encoded (up to three times as long) and within the details.
// With base64 on top, these limits stay under 8 KiB together.
constexpr size_t kMaxMessageBytes = 768;
constexpr size_t kMaxTextBytes = 256;
constexpr size_t kMaxDetailsBytes = 3'072;

// At most `limit` bytes of `text`, never half a character.
std::string Cut(std::string_view text, size_t limit) {
  constexpr std::string_view kMark = "...";
  if (text.size() <= limit) return std::string(text);
  size_t end = limit - kMark.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)).append(kMark);
}

void Pack(const google::protobuf::Message& message, google::rpc::Status* into) {
  into->add_details()->PackFrom(message);
}

bool IsWorthARetry(const absl::Status& status, const control::ErrorDetails& details) {
  return absl::IsUnavailable(status) &&
         (details.reason == "SERVER_DRAINING" || details.reason == "STARTING" ||
          details.reason == "STORE_UNAVAILABLE");
}

// Adds what fits; the last violation says how many did not.
google::rpc::BadRequest MakeBadRequest(const std::vector<control::FieldViolation>& violations,
                                       size_t limit) {
  google::rpc::BadRequest bad;
  size_t bytes = 0;
  for (size_t i = 0; i < violations.size(); ++i) {
    auto* added = bad.add_field_violations();
    added->set_field(Cut(violations[i].field, kMaxTextBytes));
    added->set_description(Cut(violations[i].description, kMaxTextBytes));
    bytes += added->ByteSizeLong() + 4;
    if (bytes > limit && i > 0) {
      added->set_field("");
      added->set_description(fmt::format("and {} more", violations.size() - i));
      break;
    }
  }
  return bad;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message = Cut(std::string(status.message()), kMaxMessageBytes);
  const auto details = control::GetErrorDetails(status);
  if (!details) return grpc::Status(code, message);

  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(Cut(details->reason, kMaxTextBytes));
  info.set_domain(std::string(kErrorDomain));
  for (const auto& [key, value] : details->metadata) {
    if (rich.ByteSizeLong() + info.ByteSizeLong() > kMaxDetailsBytes / 2) break;
    (*info.mutable_metadata())[Cut(key, kMaxTextBytes)] = Cut(value, kMaxTextBytes);
  }
  Pack(info, &rich);
  if (IsWorthARetry(status, *details)) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(1);
    Pack(retry, &rich);
  }
  if (!details->violations.empty()) {
    const size_t used = std::min(rich.ByteSizeLong(), kMaxDetailsBytes);
    Pack(MakeBadRequest(details->violations, kMaxDetailsBytes - used), &rich);
  }
  return grpc::Status(code, message, rich.SerializeAsString());
}

absl::Status CapabilityError(std::string_view field, std::string_view what) {
  control::ErrorDetails details{.reason = "CAPABILITY"};
  std::string message(what);
  if (!field.empty()) {
    details.violations.push_back({std::string(field), std::string(what)});
    message = fmt::format("{}: {}", field, what);
  }
  return control::MakeError(absl::StatusCode::kUnimplemented, message, std::move(details));
}

absl::Status DrainingError() {
  return control::MakeError(absl::StatusCode::kUnavailable,
                            "the server is draining; ask again after its restart",
                            {.reason = "SERVER_DRAINING"});
}

}  // namespace sidelb::rpc
