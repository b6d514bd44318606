#include "dataplane/pool/eligibility.h"

namespace sidelb {

IneligibleReason WhyIneligible(const EligibilityInput& input, uint8_t serving_tier) {
  if (input.admin_state == AdminState::kDisabled) return IneligibleReason::kDisabled;
  if (input.admin_state == AdminState::kDraining) return IneligibleReason::kDraining;
  if (input.weight == 0) return IneligibleReason::kZeroWeight;
  if (input.is_ejected) return IneligibleReason::kEjected;
  if (EligibilityTier(input) <= serving_tier) return IneligibleReason::kNone;
  return input.health == Health::kUnhealthy ? IneligibleReason::kUnhealthy
                                            : IneligibleReason::kStandby;
}

std::string_view IneligibleReasonName(IneligibleReason reason) {
  switch (reason) {
    case IneligibleReason::kNone:
      return "none";
    case IneligibleReason::kDisabled:
      return "disabled";
    case IneligibleReason::kDraining:
      return "draining";
    case IneligibleReason::kRemoved:
      return "removed";
    case IneligibleReason::kZeroWeight:
      return "zero_weight";
    case IneligibleReason::kFull:
      return "full";
    case IneligibleReason::kUnhealthy:
      return "unhealthy";
    case IneligibleReason::kEjected:
      return "ejected";
    case IneligibleReason::kStandby:
      return "standby";
  }
  return "none";
}

}  // namespace sidelb
