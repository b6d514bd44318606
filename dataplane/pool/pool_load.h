// PoolLoad: what the shards share of one pool over all of its snapshots: the round-robin cursor,
// the index of live counts, and counters of sessions that found no backend.
//
// Thread safety: said per member. Ownership: the control thread creates one with the pool and
// destroys it after the last backend of the pool is gone.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/base/close_reason.h"
#include "dataplane/base/counters.h"
#include "dataplane/pool/least_load_index.h"

namespace sidelb {

// Raised by one shard, read by any thread.
struct alignas(64) PoolCounters {
  Counter picks;
  std::array<Counter, kCloseReasonCount> closes;  // of sessions that have no backend
};

class PoolLoad {
 public:
  explicit PoolLoad(size_t shard_count)
      : counters(std::make_unique<PoolCounters[]>(shard_count)), shard_count_(shard_count) {}

  size_t shard_count() const { return shard_count_; }

  alignas(64) std::atomic<uint64_t> cursor{0};  // any shard, relaxed
  // Failed connects of all its backends, so that control sees cheaply that something failed.
  alignas(64) std::atomic<uint64_t> failures{0};  // any shard, relaxed
  alignas(64) LeastLoadIndex index;               // locks itself
  std::unique_ptr<PoolCounters[]> counters;       // one for each shard

 private:
  const size_t shard_count_;
};

}  // namespace sidelb
