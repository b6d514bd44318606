#include "dataplane/pool/weights.h"

#include <algorithm>
#include <numeric>

#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {

Weights::Weights(absl::Span<const Member> members) {
  uint64_t divisor = 0;
  bool equal = true;
  for (const Member& member : members) {
    divisor = std::gcd(divisor, uint64_t{member.weight});
    equal = equal && member.weight == members.front().weight;
  }
  if (equal) {
    total_ = members.size();
    return;
  }
  sums_.reserve(members.size());
  for (const Member& member : members) sums_.push_back(total_ += member.weight / divisor);
}

size_t Weights::Find(uint64_t slot) const {
  if (sums_.empty()) return slot;
  return static_cast<size_t>(std::upper_bound(sums_.begin(), sums_.end(), slot) - sums_.begin());
}

}  // namespace sidelb
