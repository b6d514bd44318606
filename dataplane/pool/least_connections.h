// LeastConnectionsPicker: the backend with the least active/weight, exact on live counts over all
// shards, by the pool's LeastLoadIndex. While the index does not hold every eligible backend (just
// after a change) the rest is looked through one by one.
#pragma once

#include "absl/types/span.h"
#include "dataplane/pool/picker.h"

namespace sidelb {

class LeastConnectionsPicker final : public Picker {
 public:
  LeastConnectionsPicker(absl::Span<const Member> eligible, PoolLoad* load)
      : eligible_(eligible), load_(load) {}
  PickResult Pick(const PickRequest& request) const override;

 private:
  PickResult Scan(const PickRequest& request) const;

  absl::Span<const Member> eligible_;
  PoolLoad* load_;
};

}  // namespace sidelb
