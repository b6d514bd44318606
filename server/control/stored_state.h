// What of the desired state a store keeps: listeners, pools, claims of the API's callers, and
// overrides. Providers bring their own claims at each start; the override of a backend that only
// they claim is stored alone, and kept for when the backend comes.
//
// Pure functions.
#pragma once

#include <set>
#include <string>

#include "server/control/batch.h"
#include "server/control/desired_state.h"
#include "server/control/store.h"

namespace sidelb::control {

// Rows that a store has to be told about.
struct StoreKeys {
  std::set<std::string> listeners;
  std::set<std::string> pools;
  std::set<BackendKey> backends;

  bool empty() const { return listeners.empty() && pools.empty() && backends.empty(); }
  void Add(StoreKeys other);
};

// Whether a claim of `owner` is stored.
bool IsStored(std::string_view owner);

// Adds the rows in which `change` and the state before it differ.
void AddKeys(const DesiredState& before, const Change& change, StoreKeys* keys);

// The rows of `keys` as `state` has them, and its revision.
void AddRows(const DesiredState& state, const StoreKeys& keys, StoreGroup* group);

// The change from an empty state to what was stored. Every listener counts as op 0.
Change RestoreChange(const StoredState& stored, absl::Time now);

}  // namespace sidelb::control
