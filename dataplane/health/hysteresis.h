// Hysteresis: the health of one backend from the results of its probes: `rise` good ones in a row
// make it healthy, `fall` bad ones unhealthy; the first result decides a backend that nothing is
// known of.
//
// Pure. Thread safety: a value.
#pragma once

#include <cstdint>

#include "dataplane/pool/eligibility.h"

namespace sidelb {

class Hysteresis {
 public:
  // `known` from elsewhere counts like a first result.
  explicit Hysteresis(Health known = Health::kUnknown) : health_(known) {}

  // Takes one result; true when the health changed.
  bool Record(bool good, uint32_t rise, uint32_t fall);

  Health health() const { return health_; }
  uint32_t consecutive_good() const { return good_; }
  uint32_t consecutive_bad() const { return bad_; }
  uint64_t transitions() const { return transitions_; }

 private:
  Health health_;
  uint32_t good_ = 0;
  uint32_t bad_ = 0;
  uint64_t transitions_ = 0;  // between healthy and unhealthy; the first result is none
};

}  // namespace sidelb
