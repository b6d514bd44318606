#include "client/cli/retry.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr absl::Duration kMinBackoff = absl::Milliseconds(100);
constexpr absl::Duration kMaxBackoff = absl::Seconds(1);

}  // namespace

std::string NewRequestId() {
  uint64_t halves[2];
  // So few bytes come whole and at once; without them writes would be taken for one another.
  if (getrandom(halves, sizeof(halves), 0) != sizeof(halves)) std::abort();
  return fmt::format("{:016x}{:016x}", halves[0], halves[1]);
}

absl::StatusOr<pb::ApplyResponse> ApplyWithRetries(
    const pb::ApplyRequest& request, absl::Duration window,
    const std::function<absl::StatusOr<pb::ApplyResponse>(const pb::ApplyRequest&)>& apply,
    const RetryClock& clock) {
  std::optional<absl::Time> end;     // once an attempt has failed
  std::optional<absl::Status> lost;  // of an attempt whose change may have been made
  absl::Duration backoff = kMinBackoff;
  while (true) {
    absl::StatusOr<pb::ApplyResponse> response = apply(request);
    if (response.ok()) return response;
    const absl::Status status = response.status();
    const ErrorDetails details = GetErrorDetails(status);
    const bool is_away = details.reason == kReasonUnreachable && !end;
    if (!absl::IsUnavailable(status) || is_away || request.request_id().empty()) {
      // What is refused now was not made before either, or its answer would have come.
      const bool is_open = details.reason == kReasonTimeout || absl::IsUnavailable(status);
      return is_open && lost ? *lost : status;
    }
    if (details.reason == kReasonConnectionLost) lost = status;
    const absl::Time now = clock.now();
    if (!end) end = now + window;
    const absl::Duration pause = std::max(backoff, details.retry_delay.value_or(backoff));
    if (now + pause > *end) return lost ? *lost : status;
    clock.sleep(pause);
    backoff = std::min(2 * backoff, kMaxBackoff);
  }
}

}  // namespace sidelb::client
