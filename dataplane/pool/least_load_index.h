// LeastLoadIndex: the backends of a least-connections pool ordered by active/weight, exact on live
// counts; ties go to the backend whose last pick is oldest. Members that have no free place are
// parked outside of the order.
//
// Members may be grouped by IP: then groups are ordered by the sums of their members, and the
// members of each group among themselves; who has no group comes before all groups (which is so
// only while control puts members from one form into the other).
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
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "dataplane/base/address.h"
#include "dataplane/base/spin_lock.h"
#include "dataplane/pool/load_heap.h"

namespace sidelb {

class Backend;
struct BackendLoad;

// Members of one IP, as one entry in the order. Guarded by the lock of its index.
struct LoadGroup {
  LoadHeap<BackendLoad> free;  // members with a free place
  uint64_t active = 0;         // of all members
  uint64_t index_weight = 0;   // of all members
  uint64_t last_pick = 0;
  uint32_t index_position = 0;
  bool is_parked = true;  // none of its members has a free place
  size_t size = 0;        // members
};

enum class Grouping : uint8_t { kNone, kByIp };

class LeastLoadIndex {
 public:
  LeastLoadIndex() = default;
  LeastLoadIndex(const LeastLoadIndex&) = delete;
  LeastLoadIndex& operator=(const LeastLoadIndex&) = delete;

  // Adds `load`, or updates its weight, limit (0 = unlimited) and grouping. REQUIRES: weight > 0.
  // Sets load->index, so that from here on its counts are kept in order.
  void Put(BackendLoad* load, uint32_t weight, uint32_t max_connections,
           Grouping grouping = Grouping::kNone);
  // Removes `load` if it is a member. load->index stays set until Detach(), because another
  // snapshot may still use it through the lock.
  void Remove(BackendLoad* load);
  // Removes `load` and ends its relation to this index: its counts change without the lock again.
  void Detach(BackendLoad* load);
  // Reads every count anew and restores the order, a lock for each member.
  void Resync();
  size_t size() const;

  // Takes a place of the least loaded member that is not in `tried` (at most 8), or of the least
  // loaded group that has one; nullptr when there
  // is none, and then *full says whether a member had only no place left.
  BackendLoad* Acquire(absl::Span<Backend* const> tried, bool* full);
  // Takes a place of `load`, member or not; false at its limit.
  bool AcquireOne(BackendLoad* load, uint32_t max_connections);
  // Gives a place of `load` back; `load` is not touched after its `active` has fallen.
  void ReleaseOne(BackendLoad* load);

 private:
  // The order that `load` stands in.
  LoadHeap<BackendLoad>& HeapOf(const BackendLoad& load);
  // Moves `load` to where a count of `active` belongs: in its heap, or parked.
  void Reposition(BackendLoad* load, uint32_t active);
  void RepositionGroup(LoadGroup* group);
  // Parks `load` without a group.
  void Withdraw(BackendLoad* load);
  void CountPick(BackendLoad* load);
  static bool IsFull(const BackendLoad& load, uint32_t active);
  LoadGroup* GroupFor(const BackendLoad& load, Grouping grouping);
  void DropGroupIfEmpty(const BackendLoad& load);

  mutable SpinLock lock_;
  LoadHeap<BackendLoad> heap_;         // members with a free place and without a group
  LoadHeap<LoadGroup> groups_;         // with a member that has a free place
  size_t parked_ = 0;                  // members
  std::vector<BackendLoad*> members_;  // all; changed by control only, under the lock
  uint64_t picks_ = 0;
  // By the address with port 0. The control thread's, which touches it without the lock.
  absl::flat_hash_map<Address, std::unique_ptr<LoadGroup>> by_ip_;
};

}  // namespace sidelb
