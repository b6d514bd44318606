// RoundRobinPicker: weighted round-robin, exact over all shards.
//
// No schedule is stored (its length would be the sum of the weights). With W the sum of
// weight/gcd and s coprime to W and nearest to W/phi, pick number c goes to the backend whose range
// of prefix sums holds (c mod W)*s mod W: every W picks in a row visit each backend exactly as
// often as its weight says, and the stride spreads the visits of one backend evenly. With equal
// weights s is 1, so the order is that of the snapshot.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "dataplane/pool/picker.h"
#include "dataplane/pool/weights.h"

namespace sidelb {

class RoundRobinPicker final : public Picker {
 public:
  RoundRobinPicker(absl::Span<const Member> eligible, PoolLoad* load);
  PickResult Pick(const PickRequest& request) const override;

 private:
  absl::Span<const Member> eligible_;
  PoolLoad* load_;
  Weights weights_;
  uint64_t stride_;
};

}  // namespace sidelb
