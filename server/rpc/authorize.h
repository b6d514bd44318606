// What each role may ask of the control service. These checks come before everything else, so that
// a caller without the right learns nothing from the other errors.
//
//   viewer    GetState, Watch, GetStats, GetInfo, ListAudit
//   owner     and Apply and RenewLease as one of its own owners: upsert_backends, replace_backends,
//             remove_backends without any_owner
//   operator  and set_override, set_mode, allow_mass_removal; claims as one of its own owners
//   admin     everything
//
// Refusals are PERMISSION_DENIED, reason ROLE (metadata: principal, role, needed) or NOT_OWNER
// (metadata: principal, owner, allowed).
//
// Thread safety: pure functions.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "server/control/model.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::rpc {

namespace pb = sidelb::v1;

enum class Call : uint8_t { kGetState, kWatch, kGetStats, kGetInfo, kListAudit, kShutdown };

absl::Status Authorize(const control::Caller& caller, Call call);
absl::Status Authorize(const control::Caller& caller, const pb::ApplyRequest& request);
absl::Status Authorize(const control::Caller& caller, const pb::RenewLeaseRequest& request);

}  // namespace sidelb::rpc
