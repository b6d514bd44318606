// MemberGroups: which of some members have one IP, and what such a group bears at the moment.
//
// Thread safety: immutable after construction; LookAt() reads live counts, on any shard.
// Ownership: refers to the members.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "dataplane/pool/picker.h"

namespace sidelb {

struct Member;

// A group at one moment.
struct GroupLook {
  uint64_t active = 0;
  uint64_t weight = 0;
  const Member* least = nullptr;  // by active/weight, with a free place and not tried
  bool is_any_full = false;

  bool IsLessLoadedThan(const GroupLook& other) const {
    return active * other.weight < other.active * weight;
  }
};

class MemberGroups {
 public:
  explicit MemberGroups(absl::Span<const Member> members);

  size_t size() const { return begins_.size() - 1; }
  // Of a member by its place.
  uint32_t GroupOf(size_t member) const { return group_of_[member]; }
  // Reads the counts of all its members. Among equals the one drawn by `request.random`.
  GroupLook LookAt(uint32_t group, const PickRequest& request) const;

 private:
  absl::Span<const Member> members_;
  std::vector<uint32_t> group_of_;
  std::vector<uint32_t> order_;   // places of members, group by group
  std::vector<uint32_t> begins_;  // of the groups in order_, and its end
};

}  // namespace sidelb
