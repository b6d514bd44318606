#include "dataplane/pool/random_pickers.h"

#include <utility>

#include "dataplane/pool/taking.h"

namespace sidelb {
namespace {

constexpr int kTries = 4;  // draws before a scan

// The next of a chain of random numbers (SplitMix64).
uint64_t Next(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

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
  for (int i = 0; i < kTries; ++i) {
    index = weights_.Sample(Next(&state));
    if (taking.Take(eligible_[index])) return {eligible_[index].backend, PickError::kNone};
  }
  return taking.Scan(eligible_, index + 1);
}

PickResult P2cPicker::Pick(const PickRequest& request) const {
  if (eligible_.empty()) return {nullptr, PickError::kNoBackend};
  Taking taking(request);
  uint64_t state = request.random;
  size_t first = 0;
  for (int i = 0; i < kTries; ++i) {
    first = weights_.Sample(Next(&state));
    size_t second = weights_.Sample(Next(&state));
    // Twice the same one: its neighbour, so that there are always two choices.
    if (second == first) second = (first + 1) % eligible_.size();
    if (IsLessLoaded(eligible_[second], eligible_[first])) std::swap(first, second);
    if (taking.Take(eligible_[first])) return {eligible_[first].backend, PickError::kNone};
    if (taking.Take(eligible_[second])) return {eligible_[second].backend, PickError::kNone};
  }
  return taking.Scan(eligible_, first + 1);
}

}  // namespace sidelb
