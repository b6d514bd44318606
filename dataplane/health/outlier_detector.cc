#include "dataplane/health/outlier_detector.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"

namespace sidelb {

bool OutlierDetector::Update(const OutlierSettings& settings, absl::Span<const Seen> pool,
                             uint64_t now_ms) {
  bool changed = false;
  absl::flat_hash_set<uint64_t> present;
  uint64_t all = 0;
  for (const Seen& seen : pool) {
    present.insert(seen.id);
    all += seen.backends;
  }
  absl::erase_if(ejections_, [&](const auto& entry) {
    if (present.contains(entry.first)) return false;
    changed = changed || entry.second.is_ejected;
    return true;
  });
  absl::flat_hash_set<uint64_t> ended;  // just now
  for (auto& [id, ejection] : ejections_) {
    if (ejection.is_ejected && (now_ms >= ejection.until_ms || settings.failures == 0)) {
      ejection.is_ejected = false;
      ended.insert(id);
      changed = true;
    }
  }
  if (settings.failures == 0) return changed;
  uint64_t ejected = 0;
  for (const Seen& seen : pool) {
    if (is_ejected(seen.id)) ejected += seen.backends;
  }
  for (const Seen& seen : pool) {
    const auto found = ejections_.find(seen.id);
    if (seen.consecutive_failures == 0) {
      // A success after its return: the next ejection is a first one again.
      if (found != ejections_.end() && !found->second.is_ejected) ejections_.erase(found);
      continue;
    }
    if (found != ejections_.end()) {
      // What fails meanwhile was begun before.
      if (found->second.is_ejected || ended.contains(seen.id)) {
        found->second.failures_seen = seen.consecutive_failures;
        continue;
      }
      // One more failure after its return is enough: it is on probation.
      if (seen.consecutive_failures <= found->second.failures_seen) continue;
    } else if (seen.consecutive_failures < settings.failures) {
      continue;
    }
    const uint64_t then = ejected + seen.backends;
    if (then * 100 > all * settings.max_ejected_percent || then >= all) continue;
    Ejection& ejection = ejections_[seen.id];
    ++ejection.in_a_row;
    ejection.failures_seen = seen.consecutive_failures;
    ejection.until_ms =
        now_ms + std::min(settings.ejection_ms * ejection.in_a_row, settings.max_ejection_ms);
    ejection.is_ejected = true;
    ejected = then;
    changed = true;
  }
  return changed;
}

bool OutlierDetector::is_ejected(uint64_t id) const {
  const auto found = ejections_.find(id);
  return found != ejections_.end() && found->second.is_ejected;
}

std::optional<uint64_t> OutlierDetector::EjectedUntilMs(uint64_t id) const {
  const auto found = ejections_.find(id);
  if (found == ejections_.end() || !found->second.is_ejected) return std::nullopt;
  return found->second.until_ms;
}

std::optional<uint64_t> OutlierDetector::NextDueMs() const {
  std::optional<uint64_t> next;
  for (const auto& [id, ejection] : ejections_) {
    if (ejection.is_ejected && (!next.has_value() || ejection.until_ms < *next)) {
      next = ejection.until_ms;
    }
  }
  return next;
}

}  // namespace sidelb
