#include "server/control/errors.h"

#include <charconv>
#include <utility>

#include "absl/strings/cord.h"
#include "fmt/format.h"

namespace sidelb::control {
namespace {

constexpr char kPayload[] = "sidelb/error-details";

// Strings in a row, each behind its length.
void Append(std::string* out, std::string_view text) {
  *out += fmt::format("{}:", text.size());
  *out += text;
}

bool Take(std::string_view* in, std::string* text) {
  const size_t colon = in->find(':');
  size_t size = 0;
  if (colon == std::string_view::npos) return false;
  const auto parsed = std::from_chars(in->data(), in->data() + colon, size);
  if (parsed.ec != std::errc() || in->size() - colon - 1 < size) return false;
  *text = in->substr(colon + 1, size);
  in->remove_prefix(colon + 1 + size);
  return true;
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view message, ErrorDetails details) {
  std::string encoded;
  Append(&encoded, details.reason);
  Append(&encoded, std::to_string(details.metadata.size()));
  for (const auto& [key, value] : details.metadata) {
    Append(&encoded, key);
    Append(&encoded, value);
  }
  for (const FieldViolation& violation : details.violations) {
    Append(&encoded, violation.field);
    Append(&encoded, violation.description);
  }
  absl::Status status(code, std::string(message));
  status.SetPayload(kPayload, absl::Cord(encoded));
  return status;
}

absl::Status BadField(std::string_view field, std::string_view description) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, fmt::format("{}: {}", field, description),
      {.reason = "BAD_FIELD", .violations = {{std::string(field), std::string(description)}}});
}

std::optional<ErrorDetails> GetErrorDetails(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return std::nullopt;
  const std::string encoded(*payload);
  std::string_view rest = encoded;
  ErrorDetails details;
  std::string count, key, value;
  if (!Take(&rest, &details.reason) || !Take(&rest, &count)) return std::nullopt;
  for (int i = std::stoi(count); i > 0; --i) {
    if (!Take(&rest, &key) || !Take(&rest, &value)) return std::nullopt;
    details.metadata[key] = value;
  }
  while (!rest.empty()) {
    if (!Take(&rest, &key) || !Take(&rest, &value)) return std::nullopt;
    details.violations.push_back({key, value});
  }
  return details;
}

}  // namespace sidelb::control
