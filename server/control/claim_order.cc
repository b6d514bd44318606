#include "server/control/claim_order.h"

#include <algorithm>
#include <map>

#include "server/control/desired_state.h"

namespace sidelb::control {
namespace {

bool IsNew(const Claim& claim) { return claim.order == 0; }

// Of the claims that have one; 0 when none has.
uint64_t OldestOrder(const BackendObject& backend) {
  uint64_t oldest = 0;
  for (const Claim& claim : backend.claims) {
    if (!IsNew(claim) && (oldest == 0 || claim.order < oldest)) oldest = claim.order;
  }
  return oldest;
}

bool StandsAsListed(const std::vector<BackendObject>& backends) {
  uint64_t last = 0;
  for (const BackendObject& backend : backends) {
    const uint64_t oldest = OldestOrder(backend);
    if (oldest <= last) return false;
    last = oldest;
    std::map<int, uint64_t> of_rank;
    for (const Claim& claim : backend.claims) {
      uint64_t& before = of_rank[OwnerRank(claim.owner)];
      if (claim.order <= before) return false;
      before = claim.order;
    }
  }
  return true;
}

// New backends take orders that are free between those of their neighbours.
void FillGaps(std::vector<BackendObject>* backends, const std::set<uint64_t>& used,
              uint64_t* next) {
  uint64_t last = 0;
  for (auto it = backends->begin(); it != backends->end();) {
    if (const uint64_t oldest = OldestOrder(*it); oldest != 0) {
      last = oldest;
      ++it;
      continue;
    }
    const auto end =
        std::find_if(it, backends->end(), [](const auto& b) { return OldestOrder(b) != 0; });
    const uint64_t bound = end == backends->end() ? *next : OldestOrder(*end);
    for (; it != end; ++it) {
      for (Claim& claim : it->claims) {
        if (end == backends->end()) {
          claim.order = (*next)++;
          continue;
        }
        do ++last;
        while (used.contains(last));
        if (last >= bound) return;  // no room: they are dealt out anew
        claim.order = last;
      }
    }
  }
}

void DealOut(std::vector<BackendObject>* backends) {
  std::vector<uint64_t> orders;
  for (const BackendObject& backend : *backends) {
    for (const Claim& claim : backend.claims) orders.push_back(claim.order);
  }
  std::sort(orders.begin(), orders.end());
  auto order = orders.begin();
  for (BackendObject& backend : *backends) {
    for (Claim& claim : backend.claims) claim.order = *order++;
  }
}

}  // namespace

void OrderAsListed(std::vector<BackendObject>* backends, const std::set<uint64_t>& used,
                   uint64_t* next) {
  FillGaps(backends, used, next);
  OrderAsNew(backends, next);
  if (!StandsAsListed(*backends)) DealOut(backends);
}

void OrderAsNew(std::vector<BackendObject>* backends, uint64_t* next) {
  for (BackendObject& backend : *backends) {
    for (Claim& claim : backend.claims) {
      if (IsNew(claim)) claim.order = (*next)++;
    }
  }
}

}  // namespace sidelb::control
