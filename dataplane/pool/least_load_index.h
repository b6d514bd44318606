// LeastLoadIndex: the backends of a least-connections pool ordered by active/weight, exact on live
// counts. A 4-ary indexed heap; ties go to the backend whose last pick is oldest.
//
// Thread safety: every method locks a spinlock held for about 100 ns: the one documented exception
// to "no lock on the data path" (decision 9 of docs/decisions/). Add(), Update(), Remove() and
// Resync() are for the control thread; Acquire(), AcquireOne() and Release() for any shard.
// Ownership: belongs to a PoolLoad, holds raw pointers; Remove() before a BackendLoad dies.
//
// Protocol between the threads. Control removes members before it publishes a snapshot without
// them and adds new ones after every shard has acknowledged the snapshot that has them; a shard
// checks eligibility again. While BackendLoad::index is set, `active` changes only under the lock
// of that index, so that the order is exact. Around a switch of modes a shard may still change
// `active` without the lock until it has acknowledged; Resync() after the acknowledgements
// repairs the keys.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sidelb {

struct BackendLoad;

class LeastLoadIndex {
 public:
  LeastLoadIndex() = default;
  LeastLoadIndex(const LeastLoadIndex&) = delete;
  LeastLoadIndex& operator=(const LeastLoadIndex&) = delete;

  // Adds `load`, or updates its weight and limit (0 = unlimited). REQUIRES: weight > 0.
  // Sets load->index, so that from here on its counts are kept in order.
  void Put(BackendLoad* load, uint32_t weight, uint32_t max_connections);
  // Removes `load` if it is a member. load->index stays set until Detach(), because sessions that
  // are under way still release through the lock.
  void Remove(BackendLoad* load);
  // Reads every count anew and restores the order.
  void Resync();
  size_t size() const;

  // Takes a place of the least loaded member that is not in `tried` and that `accept` takes;
  // nullptr when there is none, and then *full says whether a member had only no place left.
  BackendLoad* Acquire(absl::Span<const BackendLoad* const> tried, bool* full);
  // Takes a place of `load`, member or not; false at its limit.
  bool AcquireOne(BackendLoad* load, uint32_t max_connections);
  void ReleaseOne(BackendLoad* load);
};

}  // namespace sidelb
