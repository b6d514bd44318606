// Taking: one pick's way through the members: passes over backends that were tried, takes a place
// of the first one that has one, and remembers whether others had only no place left.
//
// Thread safety: a value of one pick, on any shard.
#pragma once

#include <algorithm>
#include <cstddef>

#include "absl/types/span.h"
#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {

class Taking {
 public:
  explicit Taking(const PickRequest& request) : request_(request) {}

  // Whether a place of `member` was taken.
  bool Take(const Member& member) {
    const auto& tried = request_.tried;
    if (std::find(tried.begin(), tried.end(), member.backend) != tried.end()) return false;
    if (TryAcquire(&member.backend->load, member.max_connections)) return true;
    is_any_full_ = true;
    return false;
  }

  // Takes the first that has a place, from `begin` on and around.
  PickResult Scan(absl::Span<const Member> members, size_t begin) {
    for (size_t i = 0; i < members.size(); ++i) {
      const Member& member = members[(begin + i) % members.size()];
      if (Take(member)) return {member.backend, PickError::kNone};
    }
    return Failed();
  }

  PickResult Failed() const {
    return {nullptr, is_any_full_ ? PickError::kNoCapacity : PickError::kNoBackend};
  }

 private:
  const PickRequest& request_;
  bool is_any_full_ = false;
};

}  // namespace sidelb
