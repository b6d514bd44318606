#include "dataplane/pool/round_robin.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {
namespace {

constexpr int kTries = 8;  // of the cursor, before a scan

bool Contains(absl::Span<Backend* const> tried, const Backend* backend) {
  return std::find(tried.begin(), tried.end(), backend) != tried.end();
}

// The number coprime to `total` that is nearest to total/phi.
uint64_t GoldenStride(uint64_t total) {
  if (total < 3) return 1;
  const auto wanted =
      static_cast<uint64_t>(std::llround(static_cast<double>(total) * 0.6180339887));
  for (uint64_t distance = 0;; ++distance) {
    if (wanted > distance && std::gcd(wanted - distance, total) == 1) return wanted - distance;
    if (std::gcd(wanted + distance, total) == 1) return wanted + distance;
  }
}

}  // namespace

RoundRobinPicker::RoundRobinPicker(absl::Span<const Member> eligible, PoolLoad* load)
    : eligible_(eligible), load_(load) {
  uint64_t divisor = 0;
  bool equal = true;
  for (const Member& member : eligible) {
    divisor = std::gcd(divisor, uint64_t{member.weight});
    equal = equal && member.weight == eligible.front().weight;
  }
  if (equal) {
    total_ = eligible.size();
    return;
  }
  sums_.reserve(eligible.size());
  for (const Member& member : eligible) sums_.push_back(total_ += member.weight / divisor);
  stride_ = GoldenStride(total_);
}

size_t RoundRobinPicker::Slot(uint64_t count) const {
  const uint64_t slot = (count % total_) * stride_ % total_;
  if (sums_.empty()) return slot;
  return static_cast<size_t>(std::upper_bound(sums_.begin(), sums_.end(), slot) - sums_.begin());
}

PickResult RoundRobinPicker::Pick(const PickRequest& request) const {
  if (eligible_.empty()) return {nullptr, PickError::kNoBackend};
  bool full = false;
  const auto take = [&](const Member& member) {
    if (Contains(request.tried, member.backend)) return false;
    if (TryAcquire(&member.backend->load, member.max_connections)) return true;
    full = true;
    return false;
  };
  size_t slot = 0;
  for (int i = 0; i < kTries; ++i) {
    slot = Slot(load_->cursor.fetch_add(1, std::memory_order_relaxed));
    if (take(eligible_[slot])) return {eligible_[slot].backend, PickError::kNone};
  }
  for (size_t i = 1; i <= eligible_.size(); ++i) {
    const Member& member = eligible_[(slot + i) % eligible_.size()];
    if (take(member)) return {member.backend, PickError::kNone};
  }
  return {nullptr, full ? PickError::kNoCapacity : PickError::kNoBackend};
}

}  // namespace sidelb
