#include "server/control/desired_state.h"

#include <algorithm>

namespace sidelb::control {

const ListenerObject* DesiredState::FindListener(std::string_view name) const {
  const auto found = listeners.find(name);
  return found == listeners.end() ? nullptr : found->second.get();
}

const DesiredPool* DesiredState::FindPool(std::string_view name) const {
  const auto found = pools.find(name);
  return found == pools.end() ? nullptr : found->second.get();
}

const BackendObject* DesiredState::FindBackend(std::string_view pool,
                                               const Address& address) const {
  const DesiredPool* in = FindPool(pool);
  if (in == nullptr) return nullptr;
  const auto found = in->backends.find(address);
  return found == in->backends.end() ? nullptr : found->second.get();
}

DesiredPool& DesiredState::MutablePool(const std::string& name) {
  std::shared_ptr<const DesiredPool>& slot = pools.at(name);
  if (slot.use_count() > 1) slot = std::make_shared<DesiredPool>(*slot);
  // It was made by the line above or by the batch that owns this copy: never const.
  return const_cast<DesiredPool&>(*slot);
}

int OwnerRank(std::string_view owner) {
  if (owner.starts_with("api:")) return 0;
  if (owner.starts_with("xds:")) return 1;
  if (owner == "static") return 2;
  return 3;
}

void Merge(BackendObject* backend) {
  std::sort(backend->claims.begin(), backend->claims.end(), [](const Claim& a, const Claim& b) {
    if (a.lease_drains != b.lease_drains) return b.lease_drains;
    const int rank_a = OwnerRank(a.owner), rank_b = OwnerRank(b.owner);
    return rank_a != rank_b ? rank_a < rank_b : a.order < b.order;
  });
  backend->effective = backend->claims.front().spec;
  if (backend->claims.front().lease_drains &&
      EffectiveAdminState(backend->effective) == AdminState::kEnabled) {
    backend->effective.admin_state = AdminState::kDraining;
  }
  backend->oldest_claim =
      std::min_element(backend->claims.begin(), backend->claims.end(), [](auto& a, auto& b) {
        return a.order < b.order;
      })->order;
  if (!backend->override.has_value()) return;
  if (backend->override->admin_state.has_value()) {
    backend->effective.admin_state = backend->override->admin_state;
  }
  if (backend->override->weight.has_value()) backend->effective.weight = backend->override->weight;
}

Mode EffectiveMode(const PoolSpec& pool) { return pool.mode.value_or(Mode::kRoundRobin); }
PickSettings EffectivePick(const PoolSpec& pool) {
  return {.hash_key = pool.hash_key.value_or(HashKey::kSourceIp),
          .hash_table_size = pool.hash_table_size.value_or(0),
          .group_by_ip = pool.group_by_ip};
}
uint32_t EffectiveWeight(const BackendSpec& backend) {
  return backend.weight.value_or(kDefaultWeight);
}
AdminState EffectiveAdminState(const BackendSpec& backend) {
  return backend.admin_state.value_or(AdminState::kEnabled);
}

// A bound that was not written gives way to the one that was.
absl::Duration EffectiveMinTtl(const RingDomainSpec& domain) {
  const absl::Duration least = absl::Seconds(1);
  return domain.min_ttl.value_or(std::min(least, domain.max_ttl.value_or(least)));
}
absl::Duration EffectiveMaxTtl(const RingDomainSpec& domain) {
  const absl::Duration most = absl::Seconds(60);
  return domain.max_ttl.value_or(std::max(most, domain.min_ttl.value_or(most)));
}
RecordType EffectiveRecordType(const RingDomainSpec& domain) {
  return domain.record.value_or(RecordType::kAAndAaaa);
}

std::string RingOwner(const RingDomainSpec& domain) { return "ring:" + domain.domain; }

DrainSpec EffectiveRemovalDrain(const std::optional<DrainSpec>& op, const PoolSpec& pool) {
  DrainSpec drain{.timeout = absl::Seconds(30), .on_timeout = DrainAction::kReset};
  for (const std::optional<DrainSpec>& given : {pool.drain, op}) {
    if (!given.has_value()) continue;
    if (given->timeout.has_value()) drain.timeout = given->timeout;
    if (given->on_timeout.has_value()) drain.on_timeout = given->on_timeout;
  }
  return drain;
}

bool IsEmpty(const Selector& selector) {
  return selector.addresses.empty() && selector.group.empty() && selector.zone.empty() &&
         selector.tags.empty() && selector.owner.empty() && !selector.all;
}

bool Matches(const Selector& selector, const BackendObject& backend) {
  const BackendSpec& spec = backend.effective;
  if (!selector.addresses.empty() && std::find(selector.addresses.begin(), selector.addresses.end(),
                                               backend.address) == selector.addresses.end()) {
    return false;
  }
  if (!selector.group.empty() && spec.group != selector.group) return false;
  if (!selector.zone.empty() && spec.zone != selector.zone) return false;
  for (const auto& [key, value] : selector.tags) {
    const auto found = spec.tags.find(key);
    if (found == spec.tags.end() || found->second != value) return false;
  }
  return selector.owner.empty() ||
         std::any_of(backend.claims.begin(), backend.claims.end(),
                     [&](const Claim& claim) { return claim.owner == selector.owner; });
}

}  // namespace sidelb::control
