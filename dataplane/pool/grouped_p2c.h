// GroupedP2cPicker: p2c over the IPs of a pool: draws two groups by their weights, takes the one
// with the lower sum of active / sum of weights, and of that the backend with the least
// active/weight. A pick looks at each backend of the two groups.
#pragma once

#include "absl/types/span.h"
#include "dataplane/pool/member_groups.h"
#include "dataplane/pool/picker.h"
#include "dataplane/pool/weights.h"

namespace sidelb {

class GroupedP2cPicker final : public Picker {
 public:
  explicit GroupedP2cPicker(absl::Span<const Member> eligible)
      : eligible_(eligible), weights_(eligible), groups_(eligible) {}
  PickResult Pick(const PickRequest& request) const override;

 private:
  absl::Span<const Member> eligible_;
  Weights weights_;
  MemberGroups groups_;
};

}  // namespace sidelb
