// The one truth about which backends may take a new session (decision 13).
//
//   admin state   weight  ejected  health      may take a new session
//   enabled       > 0     no       healthy     yes                          tier 0
//   enabled       > 0     no       unknown     when tier 0 is empty         tier 1
//   enabled       > 0     no       unhealthy   only in panic, tiers 0 and 1 tier 2
//                                              included
//   anything else                              never
//
// On top of that, at the moment of a pick, a backend at its max_connections is full and one that
// this session tried already is passed over. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace sidelb {

enum class AdminState : uint8_t { kEnabled, kDraining, kDisabled };
enum class Health : uint8_t { kUnknown, kHealthy, kUnhealthy };

// Why a backend takes no new session; the words of IneligibleReason in the proto.
enum class IneligibleReason : uint8_t {
  kNone,
  kDisabled,
  kDraining,
  kRemoved,
  kZeroWeight,
  kFull,
  kUnhealthy,
  kEjected,
  kStandby,
};

// What decides about one backend.
struct EligibilityInput {
  AdminState admin_state = AdminState::kEnabled;
  Health health = Health::kUnknown;
  bool is_ejected = false;
  uint32_t weight = 0;
};

inline constexpr uint8_t kNeverEligible = 255;

// The tier of a backend (0, 1, 2, or kNeverEligible), whatever the others are.
inline uint8_t EligibilityTier(const EligibilityInput& input) {
  if (input.admin_state != AdminState::kEnabled || input.is_ejected || input.weight == 0) {
    return kNeverEligible;
  }
  switch (input.health) {
    case Health::kHealthy:
      return 0;
    case Health::kUnknown:
      return 1;
    case Health::kUnhealthy:
      return 2;
  }
  return kNeverEligible;
}

// Why a backend is passed over while the tiers 0..`serving_tier` serve; kNone when it is not.
// Says nothing of kFull and kRemoved, which are facts of the moment and of the pool.
IneligibleReason WhyIneligible(const EligibilityInput& input, uint8_t serving_tier);

std::string_view IneligibleReasonName(IneligibleReason reason);

}  // namespace sidelb
