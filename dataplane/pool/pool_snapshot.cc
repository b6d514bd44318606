#include "dataplane/pool/pool_snapshot.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "dataplane/pool/maglev.h"

namespace sidelb {
namespace {

EligibilityInput Input(const Member& member) {
  return {.admin_state = member.admin_state,
          .health = member.health,
          .is_ejected = member.is_ejected,
          .weight = member.weight};
}

}  // namespace

// The lowest priority that has a member which may serve, and of that one the best tier; in panic
// all tiers of all priorities.
void PoolSnapshot::ChooseServing(uint32_t panic_percent) {
  size_t good = 0, all = 0;
  uint8_t priority = UINT8_MAX;
  for (const Member& member : members_) {
    const uint8_t tier = EligibilityTier(Input(member));
    if (tier == kNeverEligible && !member.is_ejected) continue;
    ++all;
    if (tier > 1) continue;
    ++good;
    priority = std::min(priority, member.priority);
  }
  serving_priority_ = priority;
  serving_tier_ = 1;
  if (panic_percent > 0 && all > 0 && good * 100 < all * panic_percent) {
    serving_tier_ = 2;
    return;
  }
  for (const Member& member : members_) {
    if (member.priority != priority) continue;
    serving_tier_ = std::min(serving_tier_, EligibilityTier(Input(member)));
  }
}

bool PoolSnapshot::IsEligible(const Member& member) const {
  if (EligibilityTier(Input(member)) > serving_tier_) return false;
  return is_in_panic() || member.priority == serving_priority_;
}

std::shared_ptr<const PoolSnapshot> PoolSnapshot::Build(PoolId id, Mode mode,
                                                        std::vector<Member> members, PoolLoad* load,
                                                        uint32_t panic_percent,
                                                        const PickSettings& settings) {
  auto snapshot = Prepare(id, mode, std::move(members), load, panic_percent, settings);
  snapshot->MakePicker();
  return snapshot;
}

void PoolSnapshot::MakePicker() {
  picker_ = sidelb::MakePicker(mode_, settings_, eligible_, members_.size(), load_);
}

bool PoolSnapshot::is_large() const {
  const bool has_table = mode_ == Mode::kMaglev || mode_ == Mode::kSourceHash;
  return has_table &&
         MaglevTableSize(members_.size(), settings_.hash_table_size) > MaglevTableSize(1);
}

std::shared_ptr<PoolSnapshot> PoolSnapshot::Prepare(PoolId id, Mode mode,
                                                    std::vector<Member> members, PoolLoad* load,
                                                    uint32_t panic_percent,
                                                    const PickSettings& settings) {
  std::shared_ptr<PoolSnapshot> snapshot(new PoolSnapshot);
  snapshot->id_ = id;
  snapshot->mode_ = mode;
  snapshot->settings_ = settings;
  snapshot->load_ = load;
  snapshot->members_ = std::move(members);
  snapshot->ChooseServing(panic_percent);
  const auto is_eligible = [&](const Member& member) { return snapshot->IsEligible(member); };
  const std::vector<Member>& all = snapshot->members_;
  const auto eligible = static_cast<size_t>(std::count_if(all.begin(), all.end(), is_eligible));
  if (eligible == all.size()) {
    snapshot->eligible_ = all;
  } else {
    snapshot->eligible_copy_.reserve(eligible);
    std::copy_if(all.begin(), all.end(), std::back_inserter(snapshot->eligible_copy_), is_eligible);
    snapshot->eligible_ = snapshot->eligible_copy_;
  }
  return snapshot;
}

}  // namespace sidelb
