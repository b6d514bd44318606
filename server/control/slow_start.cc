#include "server/control/slow_start.h"

#include <algorithm>

namespace sidelb::control {
namespace {

// Steps done, 0 to kSlowStartSteps.
int64_t StepsDone(absl::Duration age, absl::Duration slow_start) {
  if (slow_start <= absl::ZeroDuration() || age >= slow_start) return kSlowStartSteps;
  absl::Duration rest;
  return absl::IDivDuration(std::max(age, absl::ZeroDuration()) * kSlowStartSteps, slow_start,
                            &rest);
}

}  // namespace

uint32_t RampedWeight(uint32_t weight, absl::Duration age, absl::Duration slow_start) {
  const int64_t steps = StepsDone(age, slow_start);
  if (weight == 0 || steps >= kSlowStartSteps) return weight;
  const uint64_t share = static_cast<uint64_t>(steps) + 1;
  return std::max<uint32_t>(1, static_cast<uint32_t>(weight * share / kSlowStartSteps));
}

absl::Duration TimeToNextStep(absl::Duration age, absl::Duration slow_start) {
  const int64_t steps = StepsDone(age, slow_start);
  if (steps >= kSlowStartSteps) return absl::InfiniteDuration();
  return slow_start * (steps + 1) / kSlowStartSteps - age;
}

uint32_t RampScale(uint32_t largest_weight) {
  if (largest_weight == 0 || largest_weight >= kSlowStartSteps) return 1;
  return (kSlowStartSteps + largest_weight - 1) / largest_weight;
}

}  // namespace sidelb::control
