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
  // Connections that a shard has been handed and has not taken: with so many it is handed no more,
  // so that those of one turn are bounded as accepts are.
  static constexpr uint32_t kMaxUnderWay = 32;

  explicit ShardLoads(size_t shards) : size_(shards), loads_(std::make_unique<Load[]>(shards)) {}

  // Of sessions, from accept to close.
  void Enter(size_t shard) { loads_[shard].sessions.fetch_add(1, std::memory_order_relaxed); }
  void Leave(size_t shard) { loads_[shard].sessions.fetch_sub(1, std::memory_order_relaxed); }
  uint32_t sessions(size_t shard) const {
    return loads_[shard].sessions.load(std::memory_order_relaxed);
  }
  // Of connections on their way to `shard`.
  void Send(size_t shard) { loads_[shard].under_way.fetch_add(1, std::memory_order_relaxed); }
  void Arrive(size_t shard) { loads_[shard].under_way.fetch_sub(1, std::memory_order_relaxed); }

  // From here on every shard keeps what it accepts or is handed.
  void Stop() { is_stopped_.store(true, std::memory_order_release); }
  bool is_stopped() const { return is_stopped_.load(std::memory_order_acquire); }

  // For a connection that `here` has accepted and has not entered: `here`, or, where it has more
  // sessions than the least loaded one by one and an eighth, that one. With more than kLooks shards
  // it looks at those that `random` begins with.
  size_t Choose(size_t here, uint64_t random) const {
    const uint32_t mine = sessions(here);
    if (mine == 0 || is_stopped()) return here;
    size_t least = here;
    uint32_t fewest = mine;
    const size_t first = size_ > kLooks ? random % size_ : 0;
    for (size_t look = 0; look < std::min(size_, kLooks); ++look) {
      const size_t other = (first + look) % size_;
      const uint32_t theirs = sessions(other);
      if (theirs >= fewest || !HasRoom(other)) continue;
      least = other;
      fewest = theirs;
    }
    return mine > fewest + fewest / 8 ? least : here;
  }

 private:
  static constexpr size_t kLooks = 8;
  struct alignas(64) Load {
    std::atomic<uint32_t> sessions{0};
    std::atomic<uint32_t> under_way{0};
  };

  bool HasRoom(size_t shard) const {
    return loads_[shard].under_way.load(std::memory_order_relaxed) < kMaxUnderWay;
  }

  const size_t size_;
  const std::unique_ptr<Load[]> loads_;
  std::atomic<bool> is_stopped_{false};
};

}  // namespace sidelb
