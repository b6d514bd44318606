// import_state: a whole state at once, with the claims of all owners and the overrides.
//
// Claims of ring domains are DNS's to say: what it said stays, and what the state says of them is
// passed over. Docs: decisions/0014-import.md.
#include <algorithm>
#include <map>
#include <set>

#include "fmt/format.h"
#include "server/control/batch_impl.h"
#include "server/control/claim_order.h"
#include "server/control/errors.h"
#include "server/control/validate.h"

namespace sidelb::control {
namespace {

bool IsOfDns(const std::string& owner) { return owner.starts_with("ring:"); }

absl::Status CheckOwner(const std::string& owner, const std::string& path) {
  if (owner == "static") return absl::OkStatus();
  if (IsOfDns(owner)) {
    const std::string wrong = WrongDomain(std::string_view(owner).substr(5));
    return wrong.empty() ? absl::OkStatus() : BadField(path, wrong);
  }
  if (owner.starts_with("api:")) return ValidateApiOwner(owner, path);
  return BadField(path, fmt::format("'{}'; allowed: api:NAME, static, ring:DOMAIN", owner));
}

bool IsSame(const BackendObject& a, const BackendObject& b) {
  const auto is_same = [](const Claim& one, const Claim& other) {
    return one.owner == other.owner && one.spec == other.spec && one.order == other.order;
  };
  return a.override == b.override &&
         std::equal(a.claims.begin(), a.claims.end(), b.claims.begin(), b.claims.end(), is_same);
}

// Whether they impose the same, whoever does.
bool ImposeSame(Override one, const Override& other) {
  one.set_by = other.set_by;
  return one == other;
}

// The pools that the state names, as such or by what is in them or leads to them.
std::set<std::string, std::less<>> NamedPools(const ImportState& op) {
  std::set<std::string, std::less<>> names;
  for (const PoolSpec& pool : op.pools) names.insert(pool.name);
  for (const ImportedBackend& backend : op.backends) names.insert(backend.pool);
  for (const ListenerSpec& listener : op.listeners) names.insert(listener.pool);
  return names;
}

}  // namespace

absl::Status Batch::Do(const ImportState& op) {
  const std::string path = Path("import_state");
  if (request_.ops.size() > 1) {
    return BadField(path, "stands beside other ops; allowed: as the only op of a request");
  }
  const std::string state = path + ".state";
  if (op.listeners.empty() && op.pools.empty() && op.backends.empty()) {
    return BadField(state, "names no object; a state by mistake empty shall not end all traffic");
  }
  // In this order, so that addresses are free and pools there when others need them.
  if (op.replace_all) {
    std::set<std::string> named;
    for (const ListenerSpec& listener : op.listeners) named.insert(listener.name);
    for (const auto& [name, listener] : before_.listeners) {
      if (named.contains(name)) continue;
      ++result().removed;
      DropListener(name);
    }
  }
  for (size_t i = 0; i < op.pools.size(); ++i) {
    auto status = Put(op.pools[i], fmt::format("{}.pools[{}]", state, i));
    if (!status.ok()) return status;
  }
  if (auto status = ImportBackends(op, state); !status.ok()) return status;
  for (size_t i = 0; i < op.listeners.size(); ++i) {
    const std::string one = fmt::format("{}.listeners[{}]", state, i);
    change_.listener_paths[op.listeners[i].name] = one;
    if (auto status = Put(op.listeners[i], one); !status.ok()) return status;
  }
  if (op.replace_all) {
    const auto named = NamedPools(op);
    for (const auto& [name, pool] : before_.pools) {
      if (named.contains(name)) continue;
      ++result().removed;
      DropPool(name);
    }
  }
  change_.summary.clear();  // one line for all of it
  const OpResult& did = result();
  Summarize(fmt::format("import{}: {} added, {} updated, {} removed, {} unchanged",
                        op.replace_all ? " of all" : "", did.added, did.updated, did.removed,
                        did.unchanged));
  return absl::OkStatus();
}

absl::Status Batch::CheckImported(const ImportedBackend& backend, const std::string& path) {
  if (auto status = NeedPool(backend.pool, path + ".pool"); !status.ok()) return status;
  if (auto status = ValidateBackend({.address = backend.address}, path); !status.ok()) {
    return status;
  }
  auto status = CheckTarget(backend.pool, backend.address, path + ".address");
  if (!status.ok()) return status;
  std::set<std::string_view> owners;
  for (size_t i = 0; i < backend.claims.size(); ++i) {
    const ImportedClaim& claim = backend.claims[i];
    const std::string one = fmt::format("{}.claims[{}]", path, i);
    const std::string& owner = claim.owner.empty() ? request_.owner : claim.owner;
    if (status = CheckOwner(owner, one + ".owner"); !status.ok()) return status;
    if (!owners.insert(owner).second) {
      return BadField(one + ".owner",
                      fmt::format("'{}' stands twice; allowed: one claim of each owner", owner));
    }
    if (status = ValidateBackend(claim.spec, one + ".spec"); !status.ok()) return status;
  }
  if (!backend.override.has_value()) return absl::OkStatus();
  const Override& imposed = *backend.override;
  if (!imposed.admin_state && !imposed.weight && !imposed.health) {
    return BadField(path + ".override", "empty; allowed: admin_state, health or weight");
  }
  return CheckImposed(imposed, path + ".override");
}

absl::Status Batch::ImportBackends(const ImportState& op, const std::string& state) {
  std::map<std::string, std::vector<BackendObject>> pools;
  std::map<std::string, absl::flat_hash_set<Address>> named;
  std::map<std::pair<std::string, std::string>, size_t> passed_over;  // by owner and pool
  if (op.replace_all) {
    for (const std::string& name : NamedPools(op)) {
      if (next_.FindPool(name) != nullptr) named[name];
    }
  }
  for (const ImportedBackend& given : op.backends) {
    const std::string path = fmt::format("{}.backends[{}]", state, given.place);
    if (auto status = CheckImported(given, path); !status.ok()) return status;
    named[given.pool].insert(given.address);
    for (const ImportedClaim& claim : given.claims) {
      const auto& domains = next_.FindPool(given.pool)->object->spec.ring_domains;
      const bool is_followed = std::any_of(domains.begin(), domains.end(), [&](const auto& domain) {
        return RingOwner(domain) == claim.owner;
      });
      if (IsOfDns(claim.owner) && !is_followed) ++passed_over[{claim.owner, given.pool}];
    }
    BackendObject object = Imported(given, op.replace_all);
    if (!object.claims.empty()) {
      pools[given.pool].push_back(std::move(object));
    } else if (next_.FindBackend(given.pool, given.address) == nullptr) {
      PutAbsent(given);
    } else {
      const auto is_any = [](const Claim&) { return true; };
      DropClaims(given.pool, given.address, is_any, std::nullopt, /*warns=*/false,
                 Forget::kOverride);
      PutAbsent(given);
    }
  }
  if (op.replace_all) {
    for (const auto& [pool, addresses] : named) DropUnnamedBackends(pool, addresses);
  }
  for (auto& [pool, backends] : pools) {
    if (op.replace_all) {
      std::set<uint64_t> used;
      for (const auto& [address, backend] : next_.FindPool(pool)->backends) {
        for (const Claim& claim : backend->claims) used.insert(claim.order);
      }
      OrderAsListed(&backends, used, &next_.next_claim_order);
    } else {
      OrderAsNew(&backends, &next_.next_claim_order);
    }
    for (BackendObject& backend : backends) PutImported(std::move(backend));
  }
  for (const auto& [key, count] : passed_over) {
    Warn(fmt::format("{} {} of {} left out: pool {} does not follow that domain", count,
                     count == 1 ? "claim" : "claims", key.first, key.second));
  }
  return absl::OkStatus();
}

// The backend as it is to be. New claims have no order yet.
BackendObject Batch::Imported(const ImportedBackend& given, bool replace_all) {
  const BackendObject* old = next_.FindBackend(given.pool, given.address);
  BackendObject object;
  if (old != nullptr) object = *old;
  object.pool = given.pool;
  object.address = given.address;
  std::vector<ImportedClaim> wanted = given.claims;
  if (wanted.empty()) wanted.push_back({.spec = {.address = given.address}});
  std::vector<Claim> claims;
  for (ImportedClaim& one : wanted) {
    if (one.owner.empty()) one.owner = request_.owner;
    const auto known = std::find_if(object.claims.begin(), object.claims.end(),
                                    [&](const Claim& claim) { return claim.owner == one.owner; });
    if (known != object.claims.end()) {
      claims.push_back(std::move(*known));
      object.claims.erase(known);
      if (IsOfDns(one.owner) || claims.back().spec == one.spec) continue;
      claims.back().spec = std::move(one.spec);
      claims.back().revision = revision_;
    } else if (!IsOfDns(one.owner)) {
      claims.push_back(
          {.owner = std::move(one.owner), .spec = std::move(one.spec), .revision = revision_});
    }
  }
  for (Claim& claim : object.claims) {
    if (!replace_all || IsOfDns(claim.owner)) claims.push_back(std::move(claim));
  }
  object.claims = std::move(claims);
  if (!object.claims.empty()) object.override = ImportedOverride(given);
  return object;
}

// What `given` imposes from now on; nullopt when it is over.
std::optional<Override> Batch::ImportedOverride(const ImportedBackend& given) {
  if (!given.override.has_value()) return std::nullopt;
  Override imposed = *given.override;
  if (imposed.ttl == absl::ZeroDuration()) imposed.ttl.reset();
  if (imposed.ttl && !imposed.expire_time) imposed.expire_time = now_ + *imposed.ttl;
  if (imposed.expire_time && *imposed.expire_time <= now_) {
    Warn(fmt::format("{}/{}: its override ended at {} and is left out", given.pool,
                     given.address.ToString(), absl::FormatTime(*imposed.expire_time)));
    return std::nullopt;
  }
  imposed.set_by = request_.owner;
  const BackendObject* old = next_.FindBackend(given.pool, given.address);
  const bool is_there = old != nullptr && old->override && ImposeSame(imposed, *old->override);
  return is_there ? old->override : imposed;
}

void Batch::PutImported(BackendObject object) {
  Merge(&object);
  const std::string pool = object.pool;
  const Address address = object.address;
  const BackendObject* old = next_.FindBackend(pool, address);
  if (old != nullptr && IsSame(*old, object)) {
    ++result().unchanged;
    NoteLeaving(*old);
    return;
  }
  if (old == nullptr) ++next_.backend_count;
  ++(old == nullptr ? result().added : result().updated);
  change_.removals.erase({pool, address});  // where a domain went that had claimed it, too
  change_.leaving.erase({pool, address});
  PutBackend(pool, std::move(object));
  next_.MutablePool(pool).absent.erase(address);
}

// A backend that only DNS can bring: its override waits for it.
void Batch::PutAbsent(const ImportedBackend& given) {
  const auto& absent = next_.FindPool(given.pool)->absent;
  const auto found = absent.find(given.address);
  const std::optional<Override> imposed = ImportedOverride(given);
  const bool is_there = found != absent.end();
  if (imposed ? is_there && ImposeSame(*imposed, found->second.override) : !is_there) {
    ++result().unchanged;
    return;
  }
  if (imposed) {
    KeepOverride(given.pool, given.address, *imposed);
  } else {
    next_.MutablePool(given.pool).absent.erase(given.address);
  }
  ++result().updated;
  TouchPool(given.pool);
}

// Drops what the pool has besides, but for what DNS says.
void Batch::DropUnnamedBackends(const std::string& pool,
                                const absl::flat_hash_set<Address>& named) {
  std::vector<std::shared_ptr<const BackendObject>> unnamed;
  for (const auto& [address, backend] : next_.FindPool(pool)->backends) {
    if (!named.contains(address)) unnamed.push_back(backend);
  }
  for (const auto& old : unnamed) {
    const auto is_dropped = [](const Claim& claim) { return !IsOfDns(claim.owner); };
    if (std::all_of(old->claims.begin(), old->claims.end(), is_dropped)) {
      DropClaims(pool, old->address, is_dropped, std::nullopt, /*warns=*/false, Forget::kOverride);
      continue;
    }
    BackendObject object = *old;
    if (std::erase_if(object.claims, is_dropped) == 0 && !object.override.has_value()) continue;
    object.override.reset();
    PutImported(std::move(object));
  }
  std::vector<Address> forgotten;
  for (const auto& [address, absent] : next_.FindPool(pool)->absent) {
    if (!named.contains(address)) forgotten.push_back(address);
  }
  for (const Address& address : forgotten) next_.MutablePool(pool).absent.erase(address);
  if (forgotten.empty()) return;
  result().updated += static_cast<uint32_t>(forgotten.size());
  TouchPool(pool);
}

}  // namespace sidelb::control
