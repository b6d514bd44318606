// OutlierDetector: passive ejection of one pool: a backend that failed too many connects in a row
// takes no new session for a while. Never more than a share of the pool is ejected, never the last
// backend that serves. Backends that share one fate are seen as one, with the failures of all.
//
// Pure: `now` is an argument, in milliseconds of any monotonic clock. Thread safety: none; the
// control thread.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace sidelb {

struct OutlierSettings {
  uint32_t failures = 5;          // connect failures in a row; 0 = off
  uint64_t ejection_ms = 10'000;  // times the ejections in a row
  uint64_t max_ejection_ms = 300'000;
  uint32_t max_ejected_percent = 50;  // of the pool
};

class OutlierDetector {
 public:
  // What is seen of one backend, or of a group, that would be eligible if nothing were ejected.
  struct Seen {
    uint64_t id = 0;
    uint32_t consecutive_failures = 0;
    uint32_t backends = 1;  // that it stands for
  };

  // Decides anew. True when the set of ejected backends changed. Backends that are not in `pool`
  // any more are forgotten.
  bool Update(const OutlierSettings& settings, absl::Span<const Seen> pool, uint64_t now_ms);

  bool is_ejected(uint64_t id) const;
  // Whether nothing was ejected lately, so that Update() is due only after another failure.
  bool is_empty() const { return ejections_.empty(); }
  // When it may serve again; nullopt when it is not ejected.
  std::optional<uint64_t> EjectedUntilMs(uint64_t id) const;
  // When Update() is due next because an ejection ends.
  std::optional<uint64_t> NextDueMs() const;

 private:
  struct Ejection {
    uint64_t until_ms = 0;
    uint32_t in_a_row = 0;
    uint32_t failures_seen = 0;  // until the end of the last ejection
    bool is_ejected = false;
  };

  absl::flat_hash_map<uint64_t, Ejection> ejections_;  // of backends ejected now or lately
};

}  // namespace sidelb
