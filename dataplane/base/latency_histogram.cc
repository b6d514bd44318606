#include "dataplane/base/latency_histogram.h"

#include <algorithm>
#include <bit>

namespace sidelb {
namespace {

// Bucket 0 ends where bucket 1 begins: at 2^kFirstOctave us.
constexpr int kFirstOctave = 4;

size_t BucketOf(uint64_t us) {
  const int octave = std::bit_width(us) - 1;
  if (octave < kFirstOctave) return 0;
  const auto half = static_cast<size_t>(us >> (octave - 1) & 1);
  return std::min(1 + static_cast<size_t>(octave - kFirstOctave) * 2 + half, kLatencyBuckets - 1);
}

// The least that falls into a bucket.
uint64_t LowerBound(size_t bucket) {
  if (bucket == 0) return 0;
  const size_t step = bucket - 1;
  return uint64_t{2 + step % 2} << (kFirstOctave - 1 + step / 2);
}

}  // namespace

void LatencyHistogram::Record(uint64_t us) {
  std::atomic<uint32_t>& bucket = buckets_[BucketOf(us)];
  const uint32_t count = bucket.load(std::memory_order_relaxed) + 1;
  bucket.store(count, std::memory_order_relaxed);
  if (count < kFull) return;
  for (std::atomic<uint32_t>& each : buckets_) {
    each.store(each.load(std::memory_order_relaxed) / 2, std::memory_order_relaxed);
  }
}

void LatencyCounts::Add(const LatencyHistogram& histogram) {
  for (size_t i = 0; i < kLatencyBuckets; ++i) counts_[i] += histogram.count(i);
}

LatencyCounts& LatencyCounts::operator+=(const LatencyCounts& other) {
  for (size_t i = 0; i < kLatencyBuckets; ++i) counts_[i] += other.counts_[i];
  return *this;
}

std::optional<std::chrono::microseconds> LatencyCounts::Percentile(double fraction) const {
  uint64_t total = 0;
  for (uint64_t count : counts_) total += count;
  if (total == 0) return std::nullopt;
  const double rank = fraction * static_cast<double>(total);
  double below = 0;
  for (size_t i = 0; i + 1 < kLatencyBuckets; ++i) {
    const auto count = static_cast<double>(counts_[i]);
    if (count > 0 && below + count >= rank) {
      const auto lower = static_cast<double>(LowerBound(i));
      const auto width = static_cast<double>(LowerBound(i + 1)) - lower;
      return std::chrono::microseconds(
          static_cast<int64_t>(lower + width * std::max(rank - below, 0.0) / count));
    }
    below += count;
  }
  return std::chrono::microseconds(LowerBound(kLatencyBuckets - 1));
}

}  // namespace sidelb
