#include "dataplane/pool/member_groups.h"

#include <algorithm>
#include <numeric>

#include "absl/container/flat_hash_map.h"
#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {

MemberGroups::MemberGroups(absl::Span<const Member> members) : members_(members) {
  absl::flat_hash_map<Address, uint32_t> by_ip;
  group_of_.reserve(members.size());
  begins_.push_back(0);
  for (const Member& member : members) {
    const auto next = static_cast<uint32_t>(by_ip.size());
    const auto [entry, is_new] = by_ip.try_emplace(member.address.WithPort(0), next);
    if (is_new) begins_.push_back(0);
    group_of_.push_back(entry->second);
    ++begins_[entry->second + 1];
  }
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  std::vector<uint32_t> ends(begins_.begin(), begins_.end() - 1);
  order_.resize(members.size());
  for (uint32_t i = 0; i < members.size(); ++i) order_[ends[group_of_[i]]++] = i;
}

GroupLook MemberGroups::LookAt(uint32_t group, const PickRequest& request) const {
  GroupLook look;
  uint64_t least_active = 0;
  const uint32_t begin = begins_[group];
  const uint32_t size = begins_[group + 1] - begin;
  const uint64_t turn = request.random % size;
  for (uint32_t i = 0; i < size; ++i) {
    const Member& member = members_[order_[begin + (i + turn) % size]];
    const uint64_t active = member.backend->load.active.load(std::memory_order_relaxed);
    look.active += active;
    look.weight += member.weight;
    if (std::find(request.tried.begin(), request.tried.end(), member.backend) !=
        request.tried.end()) {
      continue;
    }
    if (member.max_connections != 0 && active >= member.max_connections) {
      look.is_any_full = true;
      continue;
    }
    if (look.least == nullptr || active * look.least->weight < least_active * member.weight) {
      look.least = &member;
      least_active = active;
    }
  }
  return look;
}

}  // namespace sidelb
