// LeastLoadIndex: the backends of a least-connections pool ordered by active/weight, exact on live
// counts. A 4-ary indexed heap of the members that have a free place; ties go to the backend whose
// last pick is oldest.
//
// Thread safety: every method locks a spinlock held for about 100 ns: the one documented exception
// to "no lock on the data path" (docs/decisions/). Put(), Remove(), Detach() and Resync() are for
// the control thread; Acquire(), AcquireOne() and ReleaseOne() for any shard.
// Ownership: belongs to a PoolLoad, holds raw pointers; Detach() before a BackendLoad dies.
//
// Protocol between the threads. Control removes members before it publishes a snapshot without
// them and adds new ones after every shard has acknowledged the snapshot that has them; so every
// member is eligible on every shard. While BackendLoad::index is set, `active` changes only under
// the lock of that index, so that the order is exact. Around a switch of modes a shard may still
// change `active` without the lock until it has acknowledged; Resync() after the acknowledgements
// repairs the keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "dataplane/base/spin_lock.h"

namespace sidelb {

class Backend;
struct BackendLoad;

class LeastLoadIndex {
 public:
  LeastLoadIndex() = default;
  LeastLoadIndex(const LeastLoadIndex&) = delete;
  LeastLoadIndex& operator=(const LeastLoadIndex&) = delete;

  // Adds `load`, or updates its weight and limit (0 = unlimited). REQUIRES: weight > 0.
  // Sets load->index, so that from here on its counts are kept in order.
  void Put(BackendLoad* load, uint32_t weight, uint32_t max_connections);
  // Removes `load` if it is a member. load->index stays set until Detach(), because another
  // snapshot may still use it through the lock.
  void Remove(BackendLoad* load);
  // Removes `load` and ends its relation to this index: its counts change without the lock again.
  void Detach(BackendLoad* load);
  // Reads every count anew and restores the order, a lock for each member.
  void Resync();
  size_t size() const;

  // Takes a place of the least loaded member that is not in `tried` (at most 8); nullptr when there
  // is none, and then *full says whether a member had only no place left.
  BackendLoad* Acquire(absl::Span<Backend* const> tried, bool* full);
  // Takes a place of `load`, member or not; false at its limit.
  bool AcquireOne(BackendLoad* load, uint32_t max_connections);
  // Gives a place of `load` back; `load` is not touched after its `active` has fallen.
  void ReleaseOne(BackendLoad* load);

 private:
  struct Entry {
    BackendLoad* load;
    uint32_t active;  // the key; follows load->active
  };

  static bool Less(const Entry& a, const Entry& b);
  void Set(uint32_t position, const Entry& entry);
  void SiftUp(uint32_t position);
  void SiftDown(uint32_t position);
  void Push(BackendLoad* load, uint32_t active);
  void Erase(uint32_t position);
  // Moves `load` to where a count of `active` belongs: in the heap, or parked.
  void Reposition(BackendLoad* load, uint32_t active);
  static bool IsFull(const BackendLoad& load, uint32_t active);

  mutable SpinLock lock_;
  std::vector<Entry> heap_;            // members with a free place
  std::vector<BackendLoad*> members_;  // all; changed by control only, under the lock
  uint64_t picks_ = 0;
};

}  // namespace sidelb
