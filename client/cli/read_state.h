// The reads that several commands make.
//
// Thread safety: as Calls.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/invocation.h"

namespace sidelb::client {

// A request for objects of these kinds; of these pools, or of all when `pools` is empty.
pb::GetStateRequest ReadRequest(std::initializer_list<pb::ObjectKind> kinds,
                                const std::vector<std::string>& pools, pb::View view);

// The pool; nullopt when there is none.
absl::StatusOr<std::optional<pb::Pool>> ReadPool(const Invocation& invocation,
                                                 const std::string& name);

}  // namespace sidelb::client
