// Ops on backends: claims and overrides.
#include <algorithm>

#include "fmt/format.h"
#include "server/control/batch_impl.h"
#include "server/control/errors.h"
#include "server/control/validate.h"

namespace sidelb::control {
namespace {

std::string_view WordOf(AdminState state) {
  switch (state) {
    case AdminState::kEnabled:
      return "enabled";
    case AdminState::kDraining:
      return "draining";
    case AdminState::kDisabled:
      return "disabled";
  }
  return "";
}

// What an override op does, in short words: "draining, weight 5 for 30m".
std::string Words(const SetOverride& op) {
  const Override& wanted = op.override;
  std::vector<std::string> words;
  if (wanted.admin_state) words.emplace_back(WordOf(*wanted.admin_state));
  if (wanted.weight) words.push_back(fmt::format("weight {}", *wanted.weight));
  if (wanted.health) {
    const bool is_good = *wanted.health == HealthOverride::kForceHealthy;
    words.emplace_back(is_good ? "forced healthy" : "forced unhealthy");
  }
  if (!words.empty()) {
    const absl::Duration ttl = wanted.ttl.value_or(absl::ZeroDuration());
    const std::string until =
        ttl > absl::ZeroDuration() ? fmt::format(" for {}", absl::FormatDuration(ttl)) : "";
    return fmt::format("{}{}", fmt::join(words, ", "), until);
  }
  if (op.clear) return "cleared";
  if (op.clear_admin_state) words.emplace_back("admin state");
  if (op.clear_weight) words.emplace_back("weight");
  if (op.clear_health) words.emplace_back("health");
  return fmt::format("{} cleared", fmt::join(words, " and "));
}

}  // namespace

// One batch may say one thing of a backend's claim; two would hide a mistake.
absl::Status Batch::CheckTarget(const std::string& pool, const Address& address,
                                const std::string& path) {
  if (targets_.emplace(pool, address).second) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument,
                   fmt::format("{}: {} of pool '{}' is named twice in this batch", path,
                               address.ToString(), pool),
                   {.reason = "DUPLICATE_TARGET", .violations = {{path, "named twice"}}});
}

absl::Status Batch::CheckBackends(const std::string& pool, const std::vector<BackendSpec>& backends,
                                  const std::string& path) {
  if (auto status = NeedPool(pool, path + ".pool"); !status.ok()) return status;
  if (replaced_.contains(pool) && !backends.empty()) {
    // Accepted once, it would be refused when it is sent again, because the backend then is one
    // that the replacement drops.
    return MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("{}.backends: an op before it replaced all backends of pool '{}'", path, pool),
        {.reason = "DUPLICATE_TARGET",
         .violations = {{path + ".backends", "the pool's backends were replaced before"}}});
  }
  for (size_t i = 0; i < backends.size(); ++i) {
    const std::string one = fmt::format("{}.backends[{}]", path, i);
    if (auto status = ValidateBackend(backends[i], one); !status.ok()) return status;
    auto status = CheckTarget(pool, backends[i].address, one + ".address");
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Batch::CheckCount() const {
  if (next_.backend_count <= kMaxBackends) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted,
                   fmt::format("ops: {} backends in all; allowed: at most {}", next_.backend_count,
                               kMaxBackends),
                   {.reason = "MAX_BACKENDS", .metadata = {{"max", std::to_string(kMaxBackends)}}});
}

absl::Status Batch::Do(const UpsertBackends& op) {
  const std::string path = Path("upsert_backends");
  if (auto status = CheckBackends(op.pool, op.backends, path); !status.ok()) return status;
  for (const BackendSpec& spec : op.backends) Upsert(op.pool, spec);
  const OpResult& did = result();
  if (did.added + did.updated > 0) {
    Summarize(fmt::format("pool {}: {} added, {} updated", op.pool, did.added, did.updated));
  }
  return absl::OkStatus();
}

absl::Status Batch::Do(const RemoveBackends& op) {
  const std::string path = Path("remove_backends");
  if (auto status = NeedPool(op.pool, path + ".pool"); !status.ok()) return status;
  if (op.drain.has_value()) {
    if (auto status = ValidateDrain(*op.drain, path + ".drain"); !status.ok()) return status;
  }
  for (size_t i = 0; i < op.addresses.size(); ++i) {
    auto status = CheckTarget(op.pool, op.addresses[i], fmt::format("{}.addresses[{}]", path, i));
    if (!status.ok()) return status;
  }
  for (const Address& address : op.addresses) {
    const auto is_dropped = [&](const Claim& claim) {
      return op.any_owner || claim.owner == request_.owner;
    };
    // Who names a backend to be removed means all of it.
    DropClaims(op.pool, address, is_dropped, op.drain, /*warns=*/true, Forget::kOverride);
  }
  if (const OpResult& did = result(); did.removed + did.updated > 0) {
    const std::string released =
        did.updated == 0 ? "" : fmt::format(", {} left to other owners", did.updated);
    Summarize(fmt::format("pool {}: {} removed{}", op.pool, did.removed, released));
  }
  return absl::OkStatus();
}

absl::Status Batch::Do(const ReplaceBackends& op) {
  const std::string path = Path("replace_backends");
  if (auto status = CheckBackends(op.pool, op.backends, path); !status.ok()) return status;
  replaced_.insert(op.pool);
  absl::flat_hash_set<Address> wanted;
  for (const BackendSpec& spec : op.backends) wanted.insert(spec.address);
  std::vector<Address> unwanted;
  for (const auto& [address, backend] : next_.FindPool(op.pool)->backends) {
    const bool is_mine = std::any_of(backend->claims.begin(), backend->claims.end(),
                                     [&](const Claim& c) { return c.owner == request_.owner; });
    if (is_mine && !wanted.contains(address)) unwanted.push_back(address);
  }
  for (const Address& address : unwanted) {
    auto status = CheckTarget(op.pool, address, path + ".backends");
    if (!status.ok()) return status;
    const auto is_mine = [&](const Claim& claim) { return claim.owner == request_.owner; };
    DropClaims(op.pool, address, is_mine, std::nullopt, /*warns=*/true, Forget::kNothing);
  }
  for (const BackendSpec& spec : op.backends) Upsert(op.pool, spec);
  const OpResult& did = result();
  if (did.added + did.updated + did.removed > 0) {
    Summarize(fmt::format("pool {}: {} added, {} updated, {} removed", op.pool, did.added,
                          did.updated, did.removed));
  }
  return absl::OkStatus();
}

void Batch::Upsert(const std::string& pool, const BackendSpec& spec) {
  const BackendObject* old = next_.FindBackend(pool, spec.address);
  BackendObject object;
  if (old == nullptr) {
    object.pool = pool;
    object.address = spec.address;
    ++next_.backend_count;
    ++result().added;
    TakeOverrideBack(&object);
  } else {
    object = *old;
  }
  auto claim = std::find_if(object.claims.begin(), object.claims.end(),
                            [&](const Claim& c) { return c.owner == request_.owner; });
  if (claim != object.claims.end() && claim->spec == spec && !claim->lease_expired) {
    ++result().unchanged;
    NoteLeaving(object);
    return;
  }
  if (claim == object.claims.end()) {
    object.claims.push_back({.owner = request_.owner,
                             .spec = spec,
                             .revision = revision_,
                             .order = next_.next_claim_order++});
  } else {
    claim->spec = spec;
    claim->revision = revision_;
    claim->lease_expired = claim->lease_drains = false;  // who puts it again means it
  }
  if (old != nullptr) ++result().updated;
  change_.removals.erase({pool, spec.address});
  change_.leaving.erase({pool, spec.address});
  PutBackend(pool, std::move(object));
}

// Clears that wait for a backend, too: whether one was there for `address`.
bool Batch::ClearAbsent(const SetOverride& op, const Address& address) {
  const bool clears =
      op.clear && !op.override.admin_state && !op.override.weight && !op.override.health;
  if (!clears || !next_.FindPool(op.pool)->absent.contains(address)) return false;
  next_.MutablePool(op.pool).absent.erase(address);
  ++result().updated;
  Summarize(fmt::format("override {}/{} cleared", op.pool, address.ToString()));
  TouchPool(op.pool);
  return true;
}

void Batch::PutBackend(const std::string& pool, BackendObject object) {
  object.revision = revision_;
  Merge(&object);
  change_.backends.emplace(pool, object.address);
  TouchPool(pool);
  NoteLeaving(object);
  const Address address = object.address;
  next_.MutablePool(pool).backends.insert_or_assign(
      address, std::make_shared<BackendObject>(std::move(object)));
}

// Drains that the batch asks for, also where they had begun before, are what DRAINED waits for.
void Batch::NoteLeaving(const BackendObject& backend) {
  const BackendKey key(backend.pool, backend.address);
  if (EffectiveAdminState(backend.effective) == AdminState::kEnabled) {
    change_.leaving.erase(key);
  } else {
    change_.leaving.insert(key);
  }
}

// With a domain that a pool does not follow any more go its claims; nobody else could drop them.
void Batch::DropRingDomains(const PoolSpec& old_spec, const PoolSpec& spec) {
  std::set<std::string> owners;
  for (const RingDomainSpec& domain : old_spec.ring_domains) owners.insert(RingOwner(domain));
  for (const RingDomainSpec& domain : spec.ring_domains) owners.erase(RingOwner(domain));
  if (owners.empty()) return;
  const auto is_dropped = [&](const Claim& claim) { return owners.contains(claim.owner); };
  std::vector<Address> addresses;
  for (const auto& [address, backend] : next_.FindPool(spec.name)->backends) {
    if (std::any_of(backend->claims.begin(), backend->claims.end(), is_dropped)) {
      addresses.push_back(address);
    }
  }
  const OpResult of_pool = result();  // counts the pool, not what goes with it
  for (const Address& address : addresses) {
    DropClaims(spec.name, address, is_dropped, std::nullopt, /*warns=*/false, Forget::kNothing);
  }
  result() = of_pool;
  for (const std::string& owner : owners) {
    Summarize(fmt::format("pool {}: without {}", spec.name, owner));
  }
}

void Batch::DropClaims(const std::string& pool, const Address& address,
                       const std::function<bool(const Claim&)>& is_dropped,
                       const std::optional<DrainSpec>& drain, bool warns, Forget forget) {
  const BackendObject* old = next_.FindBackend(pool, address);
  if (old == nullptr) {
    change_.leaving.emplace(pool, address);  // its sessions may still drain
    if (forget != Forget::kNothing && next_.FindPool(pool)->absent.contains(address)) {
      next_.MutablePool(pool).absent.erase(address);
      TouchPool(pool);
    }
    return;
  }
  BackendObject object = *old;
  const size_t claims = object.claims.size();
  std::erase_if(object.claims, is_dropped);
  if (!object.claims.empty()) {
    if (warns) {
      Warn(fmt::format("{}/{}: still claimed by {}; use disable or --any-owner", pool,
                       address.ToString(), object.claims.front().owner));
    }
    if (object.claims.size() == claims) {
      ++result().unchanged;
      return;
    }
    ++result().updated;
    PutBackend(pool, std::move(object));
    return;
  }
  ++result().removed;
  --next_.backend_count;
  change_.removals[{pool, address}] =
      EffectiveRemovalDrain(drain, next_.FindPool(pool)->object->spec);
  change_.leaving.emplace(pool, address);
  change_.backends.emplace(pool, address);
  TouchPool(pool);
  if (forget == Forget::kNothing && old->override.has_value()) {
    KeepOverride(pool, address, *old->override);
  }
  next_.MutablePool(pool).backends.erase(address);
}

void Batch::KeepOverride(const std::string& pool, const Address& address,
                         const Override& override) {
  constexpr size_t kMost = 4'096;  // of one pool
  auto& absent = next_.MutablePool(pool).absent;
  absl::erase_if(absent, [this](const auto& entry) { return entry.second.until <= now_; });
  if (absent.size() >= kMost) return;
  const absl::Time until =
      std::min(now_ + kKeepAbsentOverrides, override.expire_time.value_or(absl::InfiniteFuture()));
  absent[address] = {.override = override, .until = until, .revision = revision_};
}

// A backend that comes back soon meets the override that it left with.
void Batch::TakeOverrideBack(BackendObject* object) {
  const auto& absent = next_.FindPool(object->pool)->absent;
  const auto found = absent.find(object->address);
  if (found == absent.end()) return;
  if (found->second.until > now_) {
    object->override = found->second.override;
    Warn(fmt::format("{}/{}: comes back under the override of {}; see describe", object->pool,
                     object->address.ToString(), object->override->set_by));
  }
  next_.MutablePool(object->pool).absent.erase(object->address);
}

// What an override op says, apart from what it selects.
absl::Status Batch::CheckOverride(const SetOverride& op, const std::string& path) const {
  if (IsEmpty(op.selector)) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     fmt::format("{}.selector: empty; `all` selects every backend", path),
                     {.reason = "EMPTY_SELECTOR", .violations = {{path + ".selector", "empty"}}});
  }
  if (auto status = ValidateSelector(op.selector, path + ".selector"); !status.ok()) return status;
  const Override& wanted = op.override;
  const bool sets = wanted.admin_state || wanted.weight || wanted.health;
  const bool clears = op.clear || op.clear_admin_state || op.clear_weight || op.clear_health;
  if (!sets && !clears) {
    return BadField(path + ".override", "empty; allowed: admin_state, health, weight, or a clear");
  }
  if (wanted.ttl.has_value() && !sets) {
    return BadField(path + ".override.ttl", "set; allowed: only with what it is for");
  }
  return CheckImposed(wanted, path + ".override");
}

// The parts of an override, each by itself.
absl::Status Batch::CheckImposed(const Override& override, const std::string& path) {
  if (override.weight.has_value()) {
    auto status = ValidateWeight(*override.weight, path + ".weight");
    if (!status.ok()) return status;
  }
  if (override.drain.has_value()) {
    if (override.admin_state != AdminState::kDraining) {
      return BadField(path + ".drain", "set; allowed: only with admin_state DRAINING");
    }
    auto status = ValidateDrain(*override.drain, path + ".drain");
    if (!status.ok()) return status;
  }
  if (override.ttl.has_value()) {
    auto status = ValidateOverrideTtl(*override.ttl, path + ".ttl");
    if (!status.ok()) return status;
  }
  return ValidateText(override.reason, path + ".reason");
}

// The backends that `op` selects, in the order of their addresses. An address that is not there is
// an error, because it is more likely a slip than a wish.
absl::StatusOr<std::vector<const BackendObject*>> Batch::Select(const SetOverride& op,
                                                                const std::string& path) {
  std::vector<const BackendObject*> selected;
  if (op.selector.all) {
    const auto absent = next_.FindPool(op.pool)->absent;
    for (const auto& [address, override] : absent) ClearAbsent(op, address);
  }
  if (op.selector.addresses.empty()) {
    const auto& backends = next_.FindPool(op.pool)->backends;
    for (const auto& [address, backend] : backends) {
      if (Matches(op.selector, *backend)) selected.push_back(backend.get());
    }
    return selected;
  }
  std::vector<Address> addresses = op.selector.addresses;
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  Selector rest = op.selector;
  rest.addresses.clear();
  std::erase_if(addresses, [&](const Address& address) { return ClearAbsent(op, address); });
  const auto& backends = next_.FindPool(op.pool)->backends;
  for (const Address& address : addresses) {
    const auto found = backends.find(address);
    if (found == backends.end()) {
      const std::string field = path + ".selector.addresses";
      const std::string why =
          fmt::format("pool '{}' has no backend {}", op.pool, address.ToString());
      return MakeError(absl::StatusCode::kNotFound, fmt::format("{}: {}", field, why),
                       {.reason = "BACKEND_NOT_FOUND",
                        .metadata = {{"pool", op.pool}, {"address", address.ToString()}},
                        .violations = {{field, why}}});
    }
    if (Matches(rest, *found->second)) selected.push_back(found->second.get());
  }
  return selected;
}

// What becomes of the override of `backend`: clears act first, then what is set; the rest stays.
Override Batch::Merged(const SetOverride& op, const BackendObject& backend) {
  const Override& wanted = op.override;
  Override merged = op.clear ? Override{} : backend.override.value_or(Override{});
  if (op.clear_admin_state) {
    merged.admin_state.reset();
    merged.drain.reset();
  }
  if (op.clear_weight) merged.weight.reset();
  if (op.clear_health) merged.health.reset();
  if (wanted.health.has_value()) merged.health = wanted.health;
  if (wanted.admin_state.has_value()) {
    merged.admin_state = wanted.admin_state;
    merged.drain = wanted.drain;  // belongs to the state
  }
  if (wanted.weight.has_value()) merged.weight = wanted.weight;
  if (wanted.admin_state || wanted.weight || wanted.health) {
    if (!wanted.reason.empty()) merged.reason = wanted.reason;
    merged.set_by = request_.owner;
    SetExpiry(wanted, backend, &merged);
  }
  return merged;
}

// An override has one time to live: that of who set a part of it last.
void Batch::SetExpiry(const Override& wanted, const BackendObject& backend, Override* merged) {
  const std::optional<absl::Time> old_end = merged->expire_time;
  const bool is_alone =
      merged->admin_state.has_value() + merged->health.has_value() + merged->weight.has_value() ==
      wanted.admin_state.has_value() + wanted.health.has_value() + wanted.weight.has_value();
  merged->ttl.reset();
  merged->expire_time.reset();
  if (wanted.ttl.value_or(absl::ZeroDuration()) > absl::ZeroDuration()) {
    merged->ttl = wanted.ttl;
    merged->expire_time = now_ + *wanted.ttl;
  }
  if (is_alone || old_end == merged->expire_time) return;
  Warn(fmt::format("{}/{}: {} for all parts of its override", backend.pool,
                   backend.address.ToString(),
                   merged->expire_time.has_value() ? "the new ttl counts" : "the ttl is over"));
}

absl::Status Batch::Do(const SetOverride& op) {
  const std::string path = Path("set_override");
  if (auto status = NeedPool(op.pool, path + ".pool"); !status.ok()) return status;
  if (auto status = CheckOverride(op, path); !status.ok()) return status;
  absl::StatusOr<std::vector<const BackendObject*>> selected = Select(op, path);
  if (!selected.ok()) return selected.status();
  if (selected->empty() && result().updated == 0) {
    Warn(fmt::format("pool {}: the selector matches no backend", op.pool));
  }
  std::vector<BackendObject> changed;
  for (const BackendObject* backend : *selected) {
    const Override merged = Merged(op, *backend);
    std::optional<Override> imposed;
    if (merged.admin_state || merged.weight || merged.health) imposed = merged;
    if (imposed == backend->override) {
      ++result().unchanged;
      NoteLeaving(*backend);
      continue;
    }
    ++result().updated;
    changed.push_back(*backend);
    changed.back().override = std::move(imposed);
  }
  if (changed.size() == 1) {
    Summarize(fmt::format("override {}/{} {}", op.pool, changed[0].address.ToString(), Words(op)));
  } else if (!changed.empty()) {
    Summarize(fmt::format("override {} ({} backends) {}", op.pool, changed.size(), Words(op)));
  }
  for (BackendObject& object : changed) PutBackend(op.pool, std::move(object));
  return absl::OkStatus();
}

}  // namespace sidelb::control
