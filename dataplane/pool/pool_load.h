// PoolLoad: what the shards share of one pool over all of its snapshots: the round-robin cursor,
// the index of live counts, its sessions, and counters of those that found no backend.
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
  Gauge active;      // sessions of this shard between their pick and their close
  Peak peak_active;  // of all shards, as this one saw it after a pick
  std::array<Counter, kCloseReasonCount> closes;  // of sessions that have no backend
};

class PoolLoad {
 public:
  explicit PoolLoad(size_t shard_count)
      : counters(std::make_unique<PoolCounters[]>(shard_count)), shard_count_(shard_count) {}

  size_t shard_count() const { return shard_count_; }

  // Sessions between their pick and their close. Any thread.
  uint64_t active() const {
    uint64_t sum = 0;
    for (size_t i = 0; i < shard_count_; ++i) sum += counters[i].active.value();
    return sum;
  }
  // A session of `shard` has picked a backend. That shard only. Two shards that pick in the
  // same instant may not see each other, and the peak lacks one then.
  void CountPick(size_t shard) {
    counters[shard].active.Add(1);
    counters[shard].peak_active.Raise(active());
  }
  // It is about to give the backend's place back, after which the pool may go. That shard only.
  void CountLeave(size_t shard) { counters[shard].active.Sub(1); }
  // Lets the peaks of all shards begin anew, at the present count. Any thread.
  void ResetPeak() {
    const uint64_t present = active();
    for (size_t i = 0; i < shard_count_; ++i) counters[i].peak_active.Reset(present);
  }

  alignas(64) std::atomic<uint64_t> cursor{0};  // any shard, relaxed
  // Failed connects of all its backends, so that control sees cheaply that something failed.
  alignas(64) std::atomic<uint64_t> failures{0};  // any shard, relaxed
  alignas(64) LeastLoadIndex index;               // locks itself
  std::unique_ptr<PoolCounters[]> counters;       // one for each shard

 private:
  const size_t shard_count_;
};

}  // namespace sidelb
