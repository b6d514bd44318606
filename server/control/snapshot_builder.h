// From a desired pool and what is observed of its backends to the snapshot that shards use.
//
// Pure. Thread safety: the control thread.
#pragma once

#include <memory>

#include "absl/functional/function_ref.h"
#include "dataplane/pool/pool_snapshot.h"
#include "server/control/desired_state.h"

namespace sidelb::control {

// What is observed of one backend.
struct Observed {
  Backend* backend = nullptr;
  Health health = Health::kUnknown;
  bool is_ejected = false;
  uint32_t weight = 0;
};

// Members are in the order of their first claims, so that round-robin visits backends in the order
// in which they were added. `observe` is asked in the order of the addresses.
std::shared_ptr<PoolSnapshot> BuildSnapshot(
    PoolId id, const DesiredPool& pool, PoolLoad* load,
    absl::FunctionRef<Observed(const BackendObject&)> observe);

}  // namespace sidelb::control
