// Histogram: how long things took, in nanoseconds, to within 1.6 %: 64 buckets for each doubling.
//
// Thread safety: none. A value.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sidelb::bench {

class Histogram {
 public:
  void Record(uint64_t nanoseconds) {
    ++buckets_[IndexOf(nanoseconds)];
    ++count_;
  }
  void Clear() { *this = Histogram(); }
  uint64_t count() const { return count_; }
  // What `share` (0..1) of all stayed below, in nanoseconds; 0 when nothing was recorded.
  uint64_t Percentile(double share) const;

 private:
  static constexpr size_t kBuckets = 3776;  // up to 2^64

  static size_t IndexOf(uint64_t value);

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
};

// Of the monotonic clock.
uint64_t NowNanoseconds();

}  // namespace sidelb::bench
