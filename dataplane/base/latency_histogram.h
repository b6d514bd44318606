// LatencyHistogram: how long something took, counted on a logarithmic scale: two buckets for each
// doubling from 16 us to 8 s, 160 bytes in all. LatencyCounts: the sum of several, and percentiles.
//
// Thread safety: Record() by the one thread that owns the histogram, reading by any; LatencyCounts
// is a value.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace sidelb {

inline constexpr size_t kLatencyBuckets = 40;

class LatencyHistogram {
 public:
  void Record(uint64_t us);
  uint32_t count(size_t bucket) const { return buckets_[bucket].load(std::memory_order_relaxed); }

 private:
  // At this count all are halved, which keeps their proportions.
  static constexpr uint32_t kFull = 1u << 31;

  std::array<std::atomic<uint32_t>, kLatencyBuckets> buckets_{};
};

class LatencyCounts {
 public:
  void Add(const LatencyHistogram& histogram);
  LatencyCounts& operator+=(const LatencyCounts& other);
  // What `fraction` (0..1) of all stayed below, to about a quarter of it; at most 8.4 s, where the
  // last bucket begins. nullopt when nothing was recorded.
  std::optional<std::chrono::microseconds> Percentile(double fraction) const;

 private:
  std::array<uint64_t, kLatencyBuckets> counts_{};
};

}  // namespace sidelb
