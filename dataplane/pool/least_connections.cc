#include "dataplane/pool/least_connections.h"

#include <algorithm>

#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {

PickResult LeastConnectionsPicker::Pick(const PickRequest& request) const {
  if (eligible_.empty()) return {nullptr, PickError::kNoBackend};
  bool full = false;
  if (BackendLoad* load = load_->index.Acquire(request.tried, &full)) {
    return {load->backend, PickError::kNone};
  }
  if (load_->index.size() < eligible_.size()) return Scan(request);
  return {nullptr, full ? PickError::kNoCapacity : PickError::kNoBackend};
}

PickResult LeastConnectionsPicker::Scan(const PickRequest& request) const {
  // A backend may fill up between the look and the grasp: look again, a few times.
  bool full = false;
  for (int i = 0; i < 4; ++i) {
    full = false;
    const Member* least = groups_ ? LeastOfGroups(request, &full) : Least(request, &full);
    if (least == nullptr) break;
    if (TryAcquire(&least->backend->load, least->max_connections)) {
      return {least->backend, PickError::kNone};
    }
    full = true;
  }
  return {nullptr, full ? PickError::kNoCapacity : PickError::kNoBackend};
}

const Member* LeastConnectionsPicker::Least(const PickRequest& request, bool* full) const {
  const Member* least = nullptr;
  uint64_t least_active = 0;
  for (const Member& member : eligible_) {
    if (std::find(request.tried.begin(), request.tried.end(), member.backend) !=
        request.tried.end()) {
      continue;
    }
    const uint64_t active = member.backend->load.active.load(std::memory_order_relaxed);
    if (member.max_connections != 0 && active >= member.max_connections) {
      *full = true;
      continue;
    }
    if (least == nullptr || active * least->weight < least_active * member.weight) {
      least = &member;
      least_active = active;
    }
  }
  return least;
}

const Member* LeastConnectionsPicker::LeastOfGroups(const PickRequest& request, bool* full) const {
  GroupLook least;
  for (uint32_t group = 0; group < groups_->size(); ++group) {
    const GroupLook look = groups_->LookAt(group, request);
    *full = *full || look.is_any_full;
    if (look.least == nullptr) continue;
    if (least.least == nullptr || look.IsLessLoadedThan(least)) least = look;
  }
  return least.least;
}

}  // namespace sidelb
