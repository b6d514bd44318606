#include "dataplane/pool/grouped_p2c.h"

#include <utility>

#include "dataplane/base/random.h"
#include "dataplane/pool/taking.h"

namespace sidelb {
namespace {

constexpr int kGroupDraws = 4;  // draws before a scan

}  // namespace

PickResult GroupedP2cPicker::Pick(const PickRequest& request) const {
  if (eligible_.empty()) return {nullptr, PickError::kNoBackend};
  Taking taking(request);
  uint64_t state = request.random;
  for (int i = 0; i < kGroupDraws; ++i) {
    const uint32_t first = groups_.GroupOf(weights_.Sample(NextRandom(&state)));
    uint32_t second = groups_.GroupOf(weights_.Sample(NextRandom(&state)));
    // Twice the same one: its neighbour, so that there are always two choices.
    if (second == first) second = static_cast<uint32_t>((first + 1) % groups_.size());
    GroupLook better = groups_.LookAt(first, request);
    GroupLook worse = groups_.LookAt(second, request);
    if (worse.IsLessLoadedThan(better)) std::swap(better, worse);
    for (const GroupLook& look : {better, worse}) {
      if (look.least != nullptr && taking.Take(*look.least)) {
        return {look.least->backend, PickError::kNone};
      }
    }
  }
  return taking.Scan(eligible_, 0);
}

}  // namespace sidelb
