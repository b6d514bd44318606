#include "bench/load/histogram.h"

#include <bit>
#include <chrono>

namespace sidelb::bench {

// Below 128 each value has its bucket; above, the seven highest bits tell it.
size_t Histogram::IndexOf(uint64_t value) {
  const int shift = value < 128 ? 0 : std::bit_width(value) - 7;
  return static_cast<size_t>(64 * shift) + static_cast<size_t>(value >> shift);
}

uint64_t Histogram::Percentile(double share) const {
  const auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_));
  uint64_t seen = 0;
  for (size_t index = 0; index < kBuckets; ++index) {
    seen += buckets_[index];
    if (seen <= wanted && seen != count_) continue;
    if (seen == 0) break;
    const size_t shift = index < 128 ? 0 : index / 64 - 1;
    return ((index - 64 * shift) << shift) + (uint64_t{1} << shift) / 2;
  }
  return 0;
}

uint64_t NowNanoseconds() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                               std::chrono::nanoseconds(1));
}

}  // namespace sidelb::bench
