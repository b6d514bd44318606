// PoolReading: what a provider has to know of a pool before it changes its claims there.
//
// Thread safety: the control thread; a reading is a value.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/control/desired_state.h"
#include "server/control/live_state.h"

namespace sidelb::control {

struct PoolReading {
  struct Entry {
    Address address;
    bool serves = false;  // may take new sessions now, or would if others did not serve before it
    bool is_warming = false;          // waits for its first probe
    bool has_others = false;          // other owners claim it
    std::optional<BackendSpec> mine;  // the provider's claim
  };
  bool is_probed = false;
  std::vector<Entry> entries;  // those with claims, by address
};

// nullopt when there is no such pool. `owner` is whose claims are `mine`.
std::optional<PoolReading> ReadPool(const DesiredState& desired, const LiveState& live,
                                    const std::string& pool, const std::string& owner);
// How many connects to backends of the pool have failed so far.
uint64_t ConnectFailures(const LiveState& live, const std::string& pool);

}  // namespace sidelb::control
