#include "dataplane/pool/round_robin.h"

#include <cmath>
#include <numeric>

#include "dataplane/pool/taking.h"

namespace sidelb {
namespace {

constexpr int kCursorTries = 8;  // of the cursor, before a scan

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
    : eligible_(eligible),
      load_(load),
      weights_(eligible),
      stride_(weights_.are_equal() ? 1 : GoldenStride(weights_.total())) {}

PickResult RoundRobinPicker::Pick(const PickRequest& request) const {
  if (eligible_.empty()) return {nullptr, PickError::kNoBackend};
  Taking taking(request);
  size_t index = 0;
  for (int i = 0; i < kCursorTries; ++i) {
    const uint64_t count = load_->cursor.fetch_add(1, std::memory_order_relaxed);
    index = weights_.Find(count % weights_.total() * stride_ % weights_.total());
    if (taking.Take(eligible_[index])) return {eligible_[index].backend, PickError::kNone};
  }
  return taking.Scan(eligible_, index + 1);
}

}  // namespace sidelb
