#include "dataplane/pool/pool_snapshot.h"

#include <algorithm>
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
void PoolSnapshot::ChooseServing(absl::Span<const uint8_t> tiers, uint32_t panic_percent) {
  size_t good = 0, all = 0;
  uint8_t priority = UINT8_MAX;
  for (size_t i = 0; i < tiers.size(); ++i) {
    if (tiers[i] == kNeverEligible && !members_[i].is_ejected) continue;
    ++all;
    if (tiers[i] > 1) continue;
    ++good;
    priority = std::min(priority, members_[i].priority);
  }
  serving_priority_ = priority;
  serving_tier_ = 1;
  if (panic_percent > 0 && all > 0 && good * 100 < all * panic_percent) {
    serving_tier_ = 2;
    return;
  }
  for (size_t i = 0; i < tiers.size(); ++i) {
    if (members_[i].priority == priority) serving_tier_ = std::min(serving_tier_, tiers[i]);
  }
}

bool PoolSnapshot::IsEligible(const Member& member) const {
  return Serves(EligibilityTier(Input(member)), member.priority);
}

bool PoolSnapshot::Serves(uint8_t tier, uint8_t priority) const {
  return tier <= serving_tier_ && (is_in_panic() || priority == serving_priority_);
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
  const std::vector<Member>& all = snapshot->members_;
  std::vector<uint8_t> tiers(all.size());
  for (size_t i = 0; i < all.size(); ++i) tiers[i] = EligibilityTier(Input(all[i]));
  snapshot->ChooseServing(tiers, panic_percent);
  std::vector<uint8_t> serves(all.size());
  size_t eligible = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    serves[i] = snapshot->Serves(tiers[i], all[i].priority) ? 1 : 0;
    eligible += serves[i];
  }
  if (eligible == all.size()) {
    snapshot->eligible_ = all;
    return snapshot;
  }
  snapshot->eligible_copy_.reserve(eligible);
  for (size_t i = 0; i < all.size(); ++i) {
    if (serves[i] != 0) snapshot->eligible_copy_.push_back(all[i]);
  }
  snapshot->eligible_ = snapshot->eligible_copy_;
  return snapshot;
}

}  // namespace sidelb
