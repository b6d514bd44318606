#include "server/control/snapshot_builder.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace sidelb::control {

Member MemberOf(const BackendObject& backend, const Observed& observed) {
  return {.address = backend.address,
          .weight = observed.weight,
          .backend = observed.backend,
          .max_connections = backend.effective.max_connections,
          .admin_state = EffectiveAdminState(backend.effective),
          .health = observed.health,
          .is_ejected = observed.is_ejected,
          .priority = static_cast<uint8_t>(backend.effective.priority)};
}

size_t OrderedMembers::Find(uint64_t order) const {
  return static_cast<size_t>(std::lower_bound(orders.begin(), orders.end(), order) -
                             orders.begin());
}

void OrderedMembers::Insert(size_t index, uint64_t order, const Member& member) {
  members.insert(members.begin() + static_cast<std::ptrdiff_t>(index), member);
  orders.insert(orders.begin() + static_cast<std::ptrdiff_t>(index), order);
}

void OrderedMembers::Erase(size_t index) {
  members.erase(members.begin() + static_cast<std::ptrdiff_t>(index));
  orders.erase(orders.begin() + static_cast<std::ptrdiff_t>(index));
}

OrderedMembers OrderMembers(const DesiredPool& pool,
                            absl::FunctionRef<Observed(const BackendObject&)> observe) {
  std::vector<std::pair<uint64_t, Member>> found;
  found.reserve(pool.backends.size());
  for (const auto& [address, backend] : pool.backends) {
    found.emplace_back(backend->oldest_claim, MemberOf(*backend, observe(*backend)));
  }
  std::vector<uint32_t> places(found.size());
  std::iota(places.begin(), places.end(), 0u);
  const auto comes_before = [&](uint32_t a, uint32_t b) { return found[a].first < found[b].first; };
  if (!std::is_sorted(places.begin(), places.end(), comes_before)) {
    std::sort(places.begin(), places.end(), comes_before);
  }
  OrderedMembers ordered;
  ordered.members.reserve(found.size());
  ordered.orders.reserve(found.size());
  for (uint32_t place : places) {
    ordered.orders.push_back(found[place].first);
    ordered.members.push_back(found[place].second);
  }
  return ordered;
}

bool MendMembers(const DesiredPool& pool, absl::Span<const Address> dirty,
                 absl::FunctionRef<std::optional<uint64_t>*(const Address&)> order_of,
                 absl::FunctionRef<Observed(const BackendObject&)> observe,
                 OrderedMembers* ordered) {
  for (const Address& address : dirty) {
    std::optional<uint64_t>* const order = order_of(address);
    if (order == nullptr) continue;  // it came and went
    const auto wanted = pool.backends.find(address);
    const bool is_wanted = wanted != pool.backends.end();
    if (order->has_value()) {
      const size_t index = ordered->Find(**order);
      if (index == ordered->members.size() || !(ordered->members[index].address == address)) {
        return false;
      }
      if (!is_wanted || wanted->second->oldest_claim != **order) {
        ordered->Erase(index);
        order->reset();
      }
    }
    if (!is_wanted) continue;
    const Member member = MemberOf(*wanted->second, observe(*wanted->second));
    const size_t index = ordered->Find(wanted->second->oldest_claim);
    if (order->has_value()) {
      ordered->members[index] = member;
    } else {
      ordered->Insert(index, wanted->second->oldest_claim, member);
      *order = wanted->second->oldest_claim;
    }
  }
  return true;
}

std::shared_ptr<PoolSnapshot> PrepareSnapshot(PoolId id, const PoolSpec& pool, PoolLoad* load,
                                              std::vector<Member> members) {
  return PoolSnapshot::Prepare(id, EffectiveMode(pool), std::move(members), load,
                               pool.panic_percent, EffectivePick(pool));
}

}  // namespace sidelb::control
