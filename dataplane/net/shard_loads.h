// ShardLoads: how many TCP sessions each shard has, and on which one a new connection should live.
// The kernel spreads connections by a hash of their addresses (SO_REUSEPORT): of a few long ones
// some shards get several and others none.
//
// Thread safety: any thread. Ownership: one per data plane, outlives its shards.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace sidelb {

class ShardLoads {
 public:
  explicit ShardLoads(size_t shards) : size_(shards), loads_(std::make_unique<Load[]>(shards)) {}

  void Enter(size_t shard) { loads_[shard].sessions.fetch_add(1, std::memory_order_relaxed); }
  void Leave(size_t shard) { loads_[shard].sessions.fetch_sub(1, std::memory_order_relaxed); }
  uint32_t sessions(size_t shard) const {
    return loads_[shard].sessions.load(std::memory_order_relaxed);
  }

  // For a connection that `here` has accepted and has not entered: `here`, or, where it has more
  // sessions than the least loaded one by one and an eighth, that one. With more than kLooks shards
  // it looks at those that `random` begins with.
  size_t Choose(size_t here, uint64_t random) const {
    const uint32_t mine = sessions(here);
    if (mine == 0) return here;
    size_t least = here;
    uint32_t fewest = mine;
    const size_t first = size_ > kLooks ? random % size_ : 0;
    for (size_t look = 0; look < std::min(size_, kLooks); ++look) {
      const size_t other = (first + look) % size_;
      if (sessions(other) >= fewest) continue;
      least = other;
      fewest = sessions(other);
    }
    return mine > fewest + fewest / 8 ? least : here;
  }

 private:
  static constexpr size_t kLooks = 8;
  struct alignas(64) Load {
    std::atomic<uint32_t> sessions{0};
  };

  const size_t size_;
  const std::unique_ptr<Load[]> loads_;
};

}  // namespace sidelb
