#include "dataplane/pool/random_pickers.h"

#include <utility>

#include "dataplane/base/random.h"
#include "dataplane/pool/taking.h"

namespace sidelb {
namespace {

constexpr int kDraws = 4;  // draws before a scan

// Whether `a` bears less than `b` for its weight.
bool IsLessLoaded(const Member& a, const Member& b) {
  const uint64_t active_a = a.backend->load.active.load(std::memory_order_relaxed);
  const uint64_t active_b = b.backend->load.active.load(std::memory_order_relaxed);
  return active_a * b.weight < active_b * a.weight;
}

}  // namespace

PickResult RandomPicker::Pick(const PickRequest& request) const {
  if (eligible_.empty()) return {nullptr, PickError::kNoBackend};
  Taking taking(request);
  uint64_t state = request.random;
  size_t index = 0;
  for (int i = 0; i < kDraws; ++i) {
    index = weights_.Sample(NextRandom(&state));
    if (taking.Take(eligible_[index])) return {eligible_[index].backend, PickError::kNone};
  }
  return taking.Scan(eligible_, index + 1);
}

PickResult P2cPicker::Pick(const PickRequest& request) const {
  if (eligible_.empty()) return {nullptr, PickError::kNoBackend};
  Taking taking(request);
  uint64_t state = request.random;
  size_t first = 0;
  for (int i = 0; i < kDraws; ++i) {
    first = weights_.Sample(NextRandom(&state));
    size_t second = weights_.Sample(NextRandom(&state));
    // Twice the same one: its neighbour, so that there are always two choices.
    if (second == first) second = (first + 1) % eligible_.size();
    if (IsLessLoaded(eligible_[second], eligible_[first])) std::swap(first, second);
    if (taking.Take(eligible_[first])) return {eligible_[first].backend, PickError::kNone};
    if (taking.Take(eligible_[second])) return {eligible_[second].backend, PickError::kNone};
  }
  return taking.Scan(eligible_, first + 1);
}

}  // namespace sidelb
