#include "dataplane/pool/pool_snapshot.h"

#include <algorithm>
#include <utility>

namespace sidelb {
namespace {

EligibilityInput Input(const Member& member) {
  return {.admin_state = member.admin_state,
          .health = member.health,
          .is_ejected = member.is_ejected,
          .weight = member.weight};
}

}  // namespace

std::shared_ptr<const PoolSnapshot> PoolSnapshot::Build(PoolId id, Mode mode,
                                                        std::vector<Member> members,
                                                        PoolLoad* load) {
  std::shared_ptr<PoolSnapshot> snapshot(new PoolSnapshot);
  snapshot->id_ = id;
  snapshot->mode_ = mode;
  snapshot->load_ = load;
  snapshot->members_ = std::move(members);
  // The lowest tier that has a member serves; the tier of unhealthy ones only in panic.
  uint8_t serving = kNeverEligible;
  for (const Member& member : snapshot->members_) {
    serving = std::min(serving, EligibilityTier(Input(member)));
  }
  snapshot->serving_tier_ = serving > 1 ? 1 : serving;
  size_t eligible = 0;
  for (const Member& member : snapshot->members_) {
    if (EligibilityTier(Input(member)) <= snapshot->serving_tier_) ++eligible;
  }
  if (eligible == snapshot->members_.size()) {
    snapshot->eligible_ = snapshot->members_;
  } else {
    snapshot->eligible_copy_.reserve(eligible);
    for (const Member& member : snapshot->members_) {
      if (EligibilityTier(Input(member)) <= snapshot->serving_tier_) {
        snapshot->eligible_copy_.push_back(member);
      }
    }
    snapshot->eligible_ = snapshot->eligible_copy_;
  }
  snapshot->picker_ = MakePicker(mode, snapshot->eligible_, load);
  return snapshot;
}

}  // namespace sidelb
