// LeastConnectionsPicker: the backend with the least active/weight, exact on live counts over all
// shards, by the pool's LeastLoadIndex. While the index does not hold every eligible backend (just
// after a change) the rest is looked through one by one.
// Grouped by IP, the group with the least sum of active / sum of weights, and of that the backend
// with the least active/weight.
#pragma once

#include <optional>

#include "absl/types/span.h"
#include "dataplane/pool/member_groups.h"
#include "dataplane/pool/picker.h"

namespace sidelb {

class LeastConnectionsPicker final : public Picker {
 public:
  LeastConnectionsPicker(absl::Span<const Member> eligible, PoolLoad* load, bool group_by_ip)
      : eligible_(eligible), load_(load) {
    if (group_by_ip) groups_.emplace(eligible);
  }
  PickResult Pick(const PickRequest& request) const override;

 private:
  PickResult Scan(const PickRequest& request) const;
  const Member* Least(const PickRequest& request, bool* full) const;
  const Member* LeastOfGroups(const PickRequest& request, bool* full) const;

  absl::Span<const Member> eligible_;
  PoolLoad* load_;
  std::optional<MemberGroups> groups_;
};

}  // namespace sidelb
