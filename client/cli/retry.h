// Sends a write again when its answer was lost: with the same request_id, so that it is made once.
//
// Thread safety: pure but for what they are given; NewRequestId() by any thread.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

// 128 random bits as 32 hexadecimal digits.
std::string NewRequestId();

struct RetryClock {
  std::function<absl::Time()> now;
  std::function<void(absl::Duration)> sleep;
};

// Sends `request` by `apply`, and again while it fails with UNAVAILABLE, for `window` after the
// first failure. A daemon that cannot be reached from the first is not waited for, and a request
// without an id is sent once. Of several failures the one is returned that leaves open whether the
// change was made, else the last.
absl::StatusOr<pb::ApplyResponse> ApplyWithRetries(
    const pb::ApplyRequest& request, absl::Duration window,
    const std::function<absl::StatusOr<pb::ApplyResponse>(const pb::ApplyRequest&)>& apply,
    const RetryClock& clock);

}  // namespace sidelb::client
