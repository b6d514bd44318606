// Ops on backends: claims and overrides.
#include <algorithm>

#include "fmt/format.h"
#include "server/control/batch_impl.h"
#include "server/control/errors.h"
#include "server/control/validate.h"

namespace sidelb::control {

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
    change_.summary.push_back(
        fmt::format("pool {}: {} added, {} updated", op.pool, did.added, did.updated));
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
    Drop(op.pool, address, op.any_owner, op.drain, /*warns=*/true);
  }
  if (result().removed > 0) {
    change_.summary.push_back(fmt::format("pool {}: {} removed", op.pool, result().removed));
  }
  return absl::OkStatus();
}

absl::Status Batch::Do(const ReplaceBackends& op) {
  const std::string path = Path("replace_backends");
  if (auto status = CheckBackends(op.pool, op.backends, path); !status.ok()) return status;
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
    Drop(op.pool, address, /*any_owner=*/false, std::nullopt, /*warns=*/false);
  }
  for (const BackendSpec& spec : op.backends) Upsert(op.pool, spec);
  const OpResult& did = result();
  if (did.added + did.updated + did.removed > 0) {
    change_.summary.push_back(fmt::format("pool {}: {} added, {} updated, {} removed", op.pool,
                                          did.added, did.updated, did.removed));
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
  } else {
    object = *old;
  }
  auto claim = std::find_if(object.claims.begin(), object.claims.end(),
                            [&](const Claim& c) { return c.owner == request_.owner; });
  if (claim != object.claims.end() && claim->spec == spec) {
    ++result().unchanged;
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
  }
  if (old != nullptr) ++result().updated;
  change_.removals.erase({pool, spec.address});
  PutBackend(pool, std::move(object));
}

void Batch::PutBackend(const std::string& pool, BackendObject object) {
  object.revision = revision_;
  Merge(&object);
  change_.backends.emplace(pool, object.address);
  TouchPool(pool);
  const Address address = object.address;
  next_.MutablePool(pool).backends[address] = std::make_shared<BackendObject>(std::move(object));
}

// Drops the caller's claim, or all of them.
void Batch::Drop(const std::string& pool, const Address& address, bool any_owner,
                 const std::optional<DrainSpec>& drain, bool warns) {
  const BackendObject* old = next_.FindBackend(pool, address);
  if (old == nullptr) {
    ++result().unchanged;
    return;
  }
  BackendObject object = *old;
  const size_t claims = object.claims.size();
  std::erase_if(object.claims,
                [&](const Claim& c) { return any_owner || c.owner == request_.owner; });
  if (!object.claims.empty()) {
    if (warns) {
      change_.warnings.push_back(
          fmt::format("{}/{}: still claimed by {}; use disable or --any-owner", pool,
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
  change_.backends.emplace(pool, address);
  TouchPool(pool);
  next_.MutablePool(pool).backends.erase(address);
}

absl::Status Batch::Do(const SetOverride& op) {
  const std::string path = Path("set_override");
  if (auto status = NeedPool(op.pool, path + ".pool"); !status.ok()) return status;
  if (IsEmpty(op.selector)) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     fmt::format("{}.selector: empty; `all` selects every backend", path),
                     {.reason = "EMPTY_SELECTOR", .violations = {{path + ".selector", "empty"}}});
  }
  if (auto status = ValidateSelector(op.selector, path + ".selector"); !status.ok()) return status;
  const Override& wanted = op.override;
  const bool sets =
      wanted.admin_state.has_value() || wanted.weight.has_value() || wanted.health.has_value();
  const bool clears = op.clear || op.clear_admin_state || op.clear_weight || op.clear_health;
  if (!sets && !clears) {
    return BadField(path + ".override", "empty; allowed: admin_state, health, weight, or a clear");
  }
  if (wanted.weight.has_value()) {
    auto status = ValidateWeight(*wanted.weight, path + ".override.weight");
    if (!status.ok()) return status;
  }
  if (wanted.drain.has_value()) {
    if (wanted.admin_state != AdminState::kDraining) {
      return BadField(path + ".override.drain", "set; allowed: only with admin_state DRAINING");
    }
    auto status = ValidateDrain(*wanted.drain, path + ".override.drain");
    if (!status.ok()) return status;
  }
  if (wanted.reason.size() > kMaxText) {
    return BadField(path + ".override.reason",
                    fmt::format("{} bytes; allowed: at most {}", wanted.reason.size(), kMaxText));
  }
  for (const Address& address : op.selector.addresses) {
    if (next_.FindBackend(op.pool, address) != nullptr) continue;
    return MakeError(absl::StatusCode::kNotFound,
                     fmt::format("{}.selector.addresses: pool '{}' has no backend {}", path,
                                 op.pool, address.ToString()),
                     {.reason = "BACKEND_NOT_FOUND",
                      .metadata = {{"pool", op.pool}, {"address", address.ToString()}}});
  }
  std::vector<BackendObject> changed;
  bool matched = false;
  for (const auto& [address, backend] : next_.FindPool(op.pool)->backends) {
    if (!Matches(op.selector, *backend)) continue;
    matched = true;
    Override merged = op.clear ? Override{} : backend->override.value_or(Override{});
    if (op.clear_admin_state) {
      merged.admin_state.reset();
      merged.drain.reset();
    }
    if (op.clear_weight) merged.weight.reset();
    if (op.clear_health) merged.health.reset();
    if (wanted.health.has_value()) merged.health = wanted.health;
    if (wanted.admin_state.has_value()) {
      merged.admin_state = wanted.admin_state;
      merged.drain = wanted.drain;
    }
    if (wanted.weight.has_value()) merged.weight = wanted.weight;
    if (sets) {
      merged.reason = wanted.reason;
      merged.set_by = request_.owner;
    }
    std::optional<Override> result_override;
    if (merged.admin_state || merged.weight || merged.health) result_override = merged;
    if (result_override == backend->override) {
      ++result().unchanged;
      continue;
    }
    BackendObject object = *backend;
    object.override = std::move(result_override);
    ++result().updated;
    changed.push_back(std::move(object));
  }
  if (!matched) {
    change_.warnings.push_back(fmt::format("the selector matches no backend of pool {}", op.pool));
  }
  if (!changed.empty()) {
    change_.summary.push_back(
        fmt::format("pool {}: override of {} backends", op.pool, changed.size()));
  }
  for (BackendObject& object : changed) PutBackend(op.pool, std::move(object));
  return absl::OkStatus();
}

}  // namespace sidelb::control
