#include "server/control/stored_state.h"

#include <algorithm>
#include <utility>

namespace sidelb::control {
namespace {

// Providers, leases and overrides that end change the state without waiting for the disk: so many
// changes may be lost with a crash, and their revisions must not come again for something else.
constexpr uint64_t kUnstoredRevisions = 100'000;

// The stored part of a backend; null when it has none.
std::shared_ptr<const BackendObject> StoredPart(
    const std::shared_ptr<const BackendObject>& object) {
  const auto is_stored = [](const Claim& claim) { return IsStored(claim.owner); };
  if (std::all_of(object->claims.begin(), object->claims.end(), is_stored)) return object;
  auto part = std::make_shared<BackendObject>();
  part->pool = object->pool;
  part->address = object->address;
  std::copy_if(object->claims.begin(), object->claims.end(), std::back_inserter(part->claims),
               is_stored);
  part->override = object->override;
  part->revision = object->revision;
  if (part->claims.empty() && !part->override.has_value()) return nullptr;
  return part;
}

bool HasStoredPart(const BackendObject* object) {
  return object != nullptr &&
         (object->override.has_value() ||
          std::any_of(object->claims.begin(), object->claims.end(),
                      [](const Claim& claim) { return IsStored(claim.owner); }));
}

std::shared_ptr<const BackendObject> FindRow(const DesiredState& state, const BackendKey& key) {
  const DesiredPool* pool = state.FindPool(key.first);
  if (pool == nullptr) return nullptr;
  if (const auto found = pool->backends.find(key.second); found != pool->backends.end()) {
    return StoredPart(found->second);
  }
  const auto absent = pool->absent.find(key.second);
  if (absent == pool->absent.end()) return nullptr;
  auto row = std::make_shared<BackendObject>();
  row->pool = key.first;
  row->address = key.second;
  row->override = absent->second.override;
  row->revision = absent->second.revision;
  return row;
}

// Overrides that were absent, or are no longer.
void AddAbsentKeys(const std::string& name, const DesiredPool* before, const DesiredPool* after,
                   StoreKeys* keys) {
  for (const auto& [pool, other] : {std::pair(before, after), std::pair(after, before)}) {
    if (pool == nullptr) continue;
    for (const auto& [address, absent] : pool->absent) {
      if (other != nullptr) {
        const auto found = other->absent.find(address);
        if (found != other->absent.end() && found->second == absent) continue;
      }
      keys->backends.emplace(name, address);
    }
  }
}

}  // namespace

void StoreKeys::Add(StoreKeys other) {
  listeners.merge(other.listeners);
  pools.merge(other.pools);
  backends.merge(other.backends);
}

bool IsStored(std::string_view owner) { return owner.starts_with("api:"); }

void AddKeys(const DesiredState& before, const Change& change, StoreKeys* keys) {
  for (const auto& [name, op] : change.listeners) keys->listeners.insert(name);
  keys->pools.insert(change.pools.begin(), change.pools.end());
  for (const BackendKey& key : change.backends) {
    if (HasStoredPart(before.FindBackend(key.first, key.second)) ||
        HasStoredPart(change.next.FindBackend(key.first, key.second))) {
      keys->backends.insert(key);
    }
  }
  for (const std::string& name : change.pools) {
    AddAbsentKeys(name, before.FindPool(name), change.next.FindPool(name), keys);
  }
}

void AddRows(const DesiredState& state, const StoreKeys& keys, StoreGroup* group) {
  group->revision = state.revision;
  for (const std::string& name : keys.listeners) {
    const auto found = state.listeners.find(name);
    group->listeners[name] = found == state.listeners.end() ? nullptr : found->second;
  }
  for (const std::string& name : keys.pools) {
    const DesiredPool* pool = state.FindPool(name);
    group->pools[name] = pool == nullptr ? nullptr : pool->object;
  }
  for (const BackendKey& key : keys.backends) group->backends[key] = FindRow(state, key);
}

Change RestoreChange(const StoredState& stored, absl::Time now) {
  Change change;
  DesiredState& next = change.next;
  bool changes_by_itself = !stored.leases.empty();
  for (const auto& listener : stored.listeners) {
    next.listeners[listener->spec.name] = listener;
    change.listeners[listener->spec.name] = 0;
  }
  for (const auto& object : stored.pools) {
    auto pool = std::make_shared<DesiredPool>();
    pool->object = object;
    next.pools[object->spec.name] = std::move(pool);
    change.pools.insert(object->spec.name);
    changes_by_itself = changes_by_itself || !object->spec.ring_domains.empty();
  }
  for (const auto& row : stored.backends) {
    changes_by_itself =
        changes_by_itself || (row->override.has_value() && row->override->expire_time.has_value());
    if (next.FindPool(row->pool) == nullptr) continue;
    DesiredPool& pool = next.MutablePool(row->pool);
    if (row->claims.empty()) {
      const absl::Time ends = row->override.has_value()
                                  ? row->override->expire_time.value_or(absl::InfiniteFuture())
                                  : now;
      pool.absent[row->address] = {.override = row->override.value_or(Override{}),
                                   .until = std::min(now + kKeepAbsentOverrides, ends),
                                   .revision = row->revision};
      continue;
    }
    auto object = std::make_shared<BackendObject>(*row);
    Merge(object.get());
    for (const Claim& claim : object->claims) {
      next.next_claim_order = std::max(next.next_claim_order, claim.order + 1);
    }
    change.backends.emplace(row->pool, row->address);
    pool.backends.insert_or_assign(row->address, std::move(object));
    ++next.backend_count;
  }
  next.revision = stored.revision + (changes_by_itself ? kUnstoredRevisions : 0);
  change.has_changed = true;
  return change;
}

}  // namespace sidelb::control
