#include "server/rpc/accept_rate.h"

#include <algorithm>

namespace sidelb::rpc {

double AcceptRate::TokensOf(const Bucket& bucket, Time now) const {
  const std::chrono::duration<double> passed = now - bucket.filled;
  return std::min(capacity(), bucket.tokens + passed.count() * per_second_);
}

bool AcceptRate::Take(const std::string& source, Time now) {
  if (per_second_ == 0) return true;
  std::string key = source;
  if (buckets_.size() >= kMaxSources && !buckets_.contains(key)) {
    // A full bucket is as good as none.
    absl::erase_if(buckets_,
                   [&](const auto& item) { return TokensOf(item.second, now) >= capacity(); });
    if (buckets_.size() >= kMaxSources) key.clear();
  }
  Bucket& bucket = buckets_.try_emplace(key, Bucket{capacity(), now}).first->second;
  bucket.tokens = TokensOf(bucket, now);
  bucket.filled = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

}  // namespace sidelb::rpc
