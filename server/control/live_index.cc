// The part of LiveState that keeps the least-connections index of each pool; least_load_index.h has
// the protocol between the threads.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "server/control/live_state.h"

namespace sidelb::control {
namespace {

// The member of `next` that stands for `live`, if it may take sessions; else nullptr.
// REQUIRES: pool.published_orders is of `next`.
const Member* FindEligible(const LivePool& pool, const PoolSnapshot& next,
                           const LiveBackend& live) {
  if (!live.published_order.has_value()) return nullptr;
  const auto& orders = pool.published_orders;
  const auto found = std::lower_bound(orders.begin(), orders.end(), *live.published_order);
  const Member& member = next.members()[static_cast<size_t>(found - orders.begin())];
  return next.IsEligible(member) ? &member : nullptr;
}

}  // namespace

// Before a publication: who is not eligible in it leaves the index.
void LiveState::UpdateIndexBefore(LivePool& pool, const PoolSnapshot* next,
                                  const DirtyPool& dirty) {
  if (pool.indexed.empty()) return;
  // Under another mode the index stays right until no shard uses it any more.
  if (next != nullptr && next->mode() != Mode::kLeastConnections) return;
  if (next != nullptr && !dirty.is_whole) {
    for (const Address& address : dirty.backends) {
      const auto live = pool.backends.find(address);
      if (live == pool.backends.end() || FindEligible(pool, *next, live->second) != nullptr)
        continue;
      if (pool.indexed.erase(live->second.backend.get()) == 0) continue;
      pool.load->index.Remove(&live->second.backend->load);
    }
    return;
  }
  absl::flat_hash_set<const Backend*> eligible;
  if (next != nullptr) {
    eligible.reserve(next->eligible().size());
    for (const Member& member : next->eligible()) eligible.insert(member.backend);
  }
  absl::erase_if(pool.indexed, [&](const auto& entry) {
    if (eligible.contains(entry.first)) return false;
    pool.load->index.Remove(&entry.first->load);
    return true;
  });
}

// After the acknowledgements: who is eligible on every shard joins it. Where another mode rules,
// counts go without the index again.
void LiveState::UpdateIndexAfter(const std::string& name, LivePool& pool, const DirtyPool& dirty) {
  if (pool.published == nullptr || pool.published->mode() != Mode::kLeastConnections) {
    pool.indexed.clear();
    if (!dirty.is_whole) return;  // the mode ruled before, too
    for (auto& [address, live] : pool.backends) {
      if (live.backend->load.index.load(std::memory_order_relaxed) == nullptr) continue;
      pool.load->index.Detach(&live.backend->load);
    }
    return;
  }
  if (dirty.is_whole) {
    for (const Member& member : pool.published->eligible()) PutInIndex(name, pool, member);
    return;
  }
  for (const Address& address : dirty.backends) {
    const auto live = pool.backends.find(address);
    if (live == pool.backends.end()) continue;
    const Member* const member = FindEligible(pool, *pool.published, live->second);
    if (member != nullptr) PutInIndex(name, pool, *member);
  }
}

void LiveState::PutInIndex(const std::string& name, LivePool& pool, const Member& member) {
  const bool is_grouped = pool.published->settings().group_by_ip;
  const Grouping grouping = is_grouped ? Grouping::kByIp : Grouping::kNone;
  const LivePool::Indexed wanted{member.weight, member.max_connections, grouping};
  const auto [entry, is_new] = pool.indexed.try_emplace(member.backend, wanted);
  if (!is_new && entry->second == wanted) return;
  entry->second = wanted;
  pool.load->index.Put(&member.backend->load, member.weight, member.max_connections, grouping);
  // A shard may be between reading that there is no index and changing the count.
  if (is_new) joined_index_[name].push_back(member.address);
}

void LiveState::RepairIndexes() {
  // Where many joined, reading all members spares the look-ups.
  constexpr size_t kFew = 64;
  for (const auto& [name, addresses] : std::exchange(joined_index_, {})) {
    const auto found = pools_.find(name);
    if (found == pools_.end()) continue;
    LivePool& pool = found->second;
    if (addresses.size() > kFew) {
      pool.load->index.Resync();
      continue;
    }
    for (const Address& address : addresses) {
      const auto live = pool.backends.find(address);
      if (live == pool.backends.end()) continue;
      const auto entry = pool.indexed.find(live->second.backend.get());
      if (entry == pool.indexed.end()) continue;
      const LivePool::Indexed& put = entry->second;
      pool.load->index.Put(&entry->first->load, put.weight, put.max_connections, put.grouping);
    }
  }
}

}  // namespace sidelb::control
