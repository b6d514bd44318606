#include "client/cli/state_diff.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "client/cli/compile_state.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

using Kind = ObjectChange::Kind;

template <typename Object>
Object WithoutName(Object object) {
  object.clear_name();
  object.clear_revision();
  object.clear_status();
  return object;
}

template <typename Objects>
auto FindNamed(const Objects& objects, const std::string& name) {
  return std::find_if(objects.begin(), objects.end(),
                      [&](const auto& object) { return object.name() == name; });
}

pb::BackendSpec WithoutAddress(pb::BackendSpec spec) {
  spec.clear_address();
  return spec;
}

const pb::Claim* ClaimOf(const pb::Backend& backend, const std::string& owner) {
  for (const pb::Claim& claim : backend.claims()) {
    if (claim.owner() == owner) return &claim;
  }
  return nullptr;
}

bool Matches(const pb::Selector& selector, const pb::Backend& backend) {
  if (backend.claims().empty()) return false;
  if (selector.all()) return true;
  const auto& addresses = selector.addresses();
  const bool is_named = addresses.empty() || std::find(addresses.begin(), addresses.end(),
                                                       backend.address()) != addresses.end();
  // The claim in force stands first.
  const pb::BackendSpec& spec = backend.claims(0).spec();
  const bool has_tags =
      std::all_of(selector.tags().begin(), selector.tags().end(), [&](const auto& tag) {
        const auto found = spec.tags().find(tag.first);
        return found != spec.tags().end() && found->second == tag.second;
      });
  return is_named && has_tags && (selector.zone().empty() || selector.zone() == spec.zone()) &&
         (selector.group().empty() || selector.group() == spec.group()) &&
         (selector.owner().empty() || ClaimOf(backend, selector.owner()) != nullptr);
}

// What `set` makes of an override: see its message.
pb::Override Imposed(const pb::SetOverride& set, pb::Override imposed) {
  if (set.clear()) imposed.Clear();
  for (const int part : set.clear_parts()) {
    if (part == pb::OVERRIDE_PART_ADMIN_STATE) {
      imposed.clear_admin_state();
      imposed.clear_drain();
    }
    if (part == pb::OVERRIDE_PART_HEALTH) imposed.clear_health();
    if (part == pb::OVERRIDE_PART_WEIGHT) imposed.clear_weight();
  }
  imposed.MergeFrom(set.override());
  imposed.clear_expire_time();
  imposed.clear_set_by();
  return imposed;
}

class RequestDiffer {
 public:
  RequestDiffer(const pb::ApplyRequest& request, const pb::State& current)
      : owner_(request.owner()), current_(current) {}

  std::vector<ObjectChange> Run(const pb::Op& op) {
    changes_.clear();
    if (op.has_put_pool()) PutNamed("pool", op.put_pool(), current_.pools());
    if (op.has_put_listener()) PutNamed("listener", op.put_listener(), current_.listeners());
    if (op.has_remove_pool()) RemovePool(op.remove_pool().pool());
    if (op.has_remove_listener()) RemoveListener(op.remove_listener());
    if (op.has_upsert_backends()) PutBackends(op.upsert_backends(), /*is_whole=*/false);
    if (op.has_replace_backends()) PutBackends(op.replace_backends(), /*is_whole=*/true);
    if (op.has_remove_backends()) RemoveBackends(op.remove_backends());
    if (op.has_set_mode()) SetMode(op.set_mode());
    if (op.has_set_override()) SetOverride(op.set_override());
    if (op.has_import_state()) ImportState(op.import_state());
    return std::move(changes_);
  }

 private:
  void Add(Kind kind, std::string object, std::vector<FieldChange> fields = {}) {
    if (kind == Kind::kChanged && fields.empty()) return;
    changes_.push_back({kind, std::move(object), std::move(fields)});
  }

  template <typename Object, typename Objects>
  void PutNamed(const std::string& noun, const Object& put, const Objects& objects) {
    const auto found = FindNamed(objects, put.name());
    const bool is_new = found == objects.end();
    Add(is_new ? Kind::kAdded : Kind::kChanged, noun + "/" + put.name(),
        DiffMessages(is_new ? Object() : WithoutName(*found), WithoutName(put)));
  }

  void SetMode(const pb::SetMode& set) {
    const auto found = FindNamed(current_.pools(), set.pool());
    if (found == current_.pools().end()) return;
    pb::Pool pool = *found;
    pool.set_mode(set.mode());
    if (set.hash_key() != pb::HASH_KEY_UNSPECIFIED) pool.set_hash_key(set.hash_key());
    if (set.has_hash_table_size()) pool.set_hash_table_size(set.hash_table_size());
    PutNamed("pool", pool, current_.pools());
  }

  void RemovePool(const std::string& name) {
    for (const pb::Listener& listener : current_.listeners()) {
      if (listener.pool() == name) RemoveListener(listener.name());
    }
    for (const pb::Backend& backend : current_.backends()) {
      if (backend.pool() == name) Add(Kind::kRemoved, NameOf("backend", backend));
    }
    if (FindNamed(current_.pools(), name) != current_.pools().end()) {
      Add(Kind::kRemoved, "pool/" + name);
    }
  }

  void RemoveListener(const std::string& name) {
    if (FindNamed(current_.listeners(), name) == current_.listeners().end()) return;
    if (removed_listeners_.insert(name).second) Add(Kind::kRemoved, "listener/" + name);
  }

  void PutBackends(const pb::BackendSet& set, bool is_whole) {
    std::set<std::string> named;
    for (const pb::BackendSpec& spec : set.backends()) {
      named.insert(spec.address());
      const pb::Backend* const backend = Find(set.pool(), spec.address());
      const pb::Claim* const claim = backend == nullptr ? nullptr : ClaimOf(*backend, owner_);
      const pb::BackendSpec before =
          claim == nullptr ? pb::BackendSpec() : WithoutAddress(claim->spec());
      Add(claim == nullptr ? Kind::kAdded : Kind::kChanged,
          fmt::format("backend/{}/{}", set.pool(), spec.address()),
          DiffMessages(before, WithoutAddress(spec)));
    }
    if (!is_whole) return;
    for (const pb::Backend& backend : current_.backends()) {
      if (backend.pool() != set.pool() || named.contains(backend.address())) continue;
      if (ClaimOf(backend, owner_) != nullptr) Add(Kind::kRemoved, NameOf("backend", backend));
    }
  }

  void RemoveBackends(const pb::RemoveBackends& remove) {
    for (const std::string& address : remove.addresses()) {
      const pb::Backend* const backend = Find(remove.pool(), address);
      if (backend == nullptr || backend->claims().empty()) continue;
      if (remove.any_owner() || ClaimOf(*backend, owner_) != nullptr) {
        Add(Kind::kRemoved, NameOf("backend", *backend));
      }
    }
  }

  void SetOverride(const pb::SetOverride& set) {
    for (const pb::Backend& backend : current_.backends()) {
      if (backend.pool() != set.pool() || !Matches(set.selector(), backend)) continue;
      Override(set, NameOf("override", backend), backend.override());
    }
    for (const std::string& address : set.selector().addresses()) {
      if (Find(set.pool(), address) != nullptr) continue;  // else the batch itself adds it
      Override(set, fmt::format("override/{}/{}", set.pool(), address), pb::Override());
    }
  }

  // What an import would change of a backend, claim by claim; those of ring domains are DNS's.
  static std::vector<FieldChange> DiffBackends(const pb::Backend& before,
                                               const pb::Backend& after) {
    std::vector<FieldChange> fields;
    const auto add = [&fields](const std::string& of, std::vector<FieldChange> changes) {
      for (FieldChange& change : changes) {
        change.path = fmt::format("{}.{}", of, change.path);
        fields.push_back(std::move(change));
      }
    };
    std::set<std::string> owners;
    for (const pb::Backend* backend : {&before, &after}) {
      for (const pb::Claim& claim : backend->claims()) {
        if (!claim.owner().starts_with("ring:")) owners.insert(claim.owner());
      }
    }
    for (const std::string& owner : owners) {
      const pb::Claim* const old_claim = ClaimOf(before, owner);
      const pb::Claim* const claim = ClaimOf(after, owner);
      if (old_claim == nullptr || claim == nullptr) {
        fields.push_back(
            {"claim", old_claim == nullptr ? "" : owner, claim == nullptr ? "" : owner});
      }
      if (claim == nullptr) continue;
      add(owner,
          DiffMessages(old_claim == nullptr ? pb::BackendSpec() : WithoutAddress(old_claim->spec()),
                       WithoutAddress(claim->spec())));
    }
    pb::Override old_override = before.override(), override = after.override();
    old_override.clear_set_by();
    override.clear_set_by();
    add("override", DiffMessages(old_override, override));
    return fields;
  }

  void ImportState(const pb::Import& import) {
    const pb::State& state = import.state();
    for (const pb::Pool& pool : state.pools()) PutNamed("pool", pool, current_.pools());
    for (const pb::Backend& backend : state.backends()) {
      const pb::Backend* const found = Find(backend.pool(), backend.address());
      Add(found == nullptr ? Kind::kAdded : Kind::kChanged, NameOf("backend", backend),
          DiffBackends(found == nullptr ? pb::Backend() : *found, backend));
    }
    for (const pb::Listener& one : state.listeners()) {
      PutNamed("listener", one, current_.listeners());
    }
    if (!import.replace_all()) return;
    for (const pb::Listener& one : current_.listeners()) {
      if (FindNamed(state.listeners(), one.name()) == state.listeners().end()) {
        RemoveListener(one.name());
      }
    }
    std::set<std::pair<std::string, std::string>> named;
    for (const pb::Backend& one : state.backends()) named.emplace(one.pool(), one.address());
    for (const pb::Backend& one : current_.backends()) {
      // What DNS says stays.
      const bool is_only_ring =
          std::all_of(one.claims().begin(), one.claims().end(),
                      [](const pb::Claim& claim) { return claim.owner().starts_with("ring:"); });
      if (is_only_ring || named.contains({one.pool(), one.address()})) continue;
      Add(Kind::kRemoved, NameOf("backend", one));
    }
    for (const pb::Pool& one : current_.pools()) {
      if (FindNamed(state.pools(), one.name()) == state.pools().end()) {
        Add(Kind::kRemoved, "pool/" + one.name());
      }
    }
  }

  void Override(const pb::SetOverride& set, const std::string& name, pb::Override before) {
    const pb::Override after = Imposed(set, before);
    before.clear_expire_time();
    before.clear_set_by();
    const bool is_new = before.ByteSizeLong() == 0;
    if (after.ByteSizeLong() == 0) {
      if (!is_new) Add(Kind::kRemoved, name);
      return;
    }
    Add(is_new ? Kind::kAdded : Kind::kChanged, name, DiffMessages(before, after));
  }

  const pb::Backend* Find(const std::string& pool, const std::string& address) const {
    for (const pb::Backend& backend : current_.backends()) {
      if (backend.pool() == pool && backend.address() == address) return &backend;
    }
    return nullptr;
  }

  static std::string NameOf(std::string_view noun, const pb::Backend& backend) {
    return fmt::format("{}/{}/{}", noun, backend.pool(), backend.address());
  }

  const std::string owner_;
  const pb::State& current_;
  std::set<std::string> removed_listeners_;
  std::vector<ObjectChange> changes_;
};

bool ChangesNothing(const pb::OpResult& result) {
  return result.added() + result.updated() + result.removed() == 0;
}

}  // namespace

std::vector<ObjectChange> DiffRequest(const pb::ApplyRequest& request, const pb::State& current,
                                      const pb::ApplyResponse* checked) {
  RequestDiffer differ(request, current);
  std::vector<ObjectChange> all;
  for (int i = 0; i < request.ops_size(); ++i) {
    if (checked != nullptr && i < checked->results_size() && ChangesNothing(checked->results(i))) {
      continue;
    }
    for (ObjectChange& change : differ.Run(request.ops(i))) all.push_back(std::move(change));
  }
  return all;
}

}  // namespace sidelb::client
