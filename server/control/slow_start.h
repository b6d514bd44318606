// Slow start: a backend that just began to serve gets a growing share of its weight, in steps.
//
// Pure. Thread safety: any thread.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace sidelb::control {

inline constexpr uint32_t kSlowStartSteps = 20;

// The weight of a backend that began to serve `age` ago: 1/20 of `weight` at first, all of it from
// `slow_start` on. At least 1, unless `weight` is 0.
uint32_t RampedWeight(uint32_t weight, absl::Duration age, absl::Duration slow_start);

// How long until its weight grows next; InfiniteDuration() when it has all of it.
absl::Duration TimeToNextStep(absl::Duration age, absl::Duration slow_start);

// A factor for all weights of a pool while one of them is ramped, so that small weights have steps
// as well: weights of 1 would jump from all to all.
uint32_t RampScale(uint32_t largest_weight);

}  // namespace sidelb::control
