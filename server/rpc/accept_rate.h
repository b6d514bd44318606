// AcceptRate: how fast each source may open connections: a bucket that holds two seconds' worth and
// fills up at the rate. Sources beyond kMaxSources share one bucket, so that memory is bounded
// whatever addresses a flood comes from.
//
// Thread safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"

namespace sidelb::rpc {

class AcceptRate {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr size_t kMaxSources = 4'096;

  explicit AcceptRate(uint32_t per_second) : per_second_(per_second) {}  // 0 = any

  // Whether one more may come from `source` now. REQUIRES: `now` never goes back.
  bool Take(const std::string& source, Time now);

  size_t sources() const { return buckets_.size(); }

 private:
  struct Bucket {
    double tokens;
    Time filled;
  };

  double capacity() const { return 2.0 * per_second_; }
  double TokensOf(const Bucket& bucket, Time now) const;

  const uint32_t per_second_;
  absl::flat_hash_map<std::string, Bucket> buckets_;
};

}  // namespace sidelb::rpc
