#include "client/cli/compile_state.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "client/cli/exit_code.h"
#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

absl::Status FileError(const ApplyFileCommand& command, const std::string& path,
                       std::string_view why) {
  return UsageError(
      fmt::format("{}: {}: {}", command.file == "-" ? "standard input" : command.file, path, why));
}

// Whether none of the backend's claims is one that the caller writes.
bool IsOnlyForeign(const pb::Backend& backend, const std::string& owner,
                   const ApplyFileCommand& command) {
  const auto& claims = backend.claims();
  return !command.adopts && !claims.empty() &&
         std::none_of(claims.begin(), claims.end(), [&](const pb::Claim& claim) {
           return claim.owner().empty() || claim.owner() == owner;
         });
}

// One pool's part of the file, in the file's order.
struct PoolBackends {
  std::vector<pb::BackendSpec> specs;
  // Addresses by their override, so that equal ones make one op.
  std::vector<std::pair<pb::Override, std::vector<std::string>>> overrides;
};

class StateCompiler {
 public:
  StateCompiler(const Arguments& arguments, const ApplyFileCommand& command,
                const std::optional<CurrentState>& current)
      : command_(command), owner_(OwnerOf(arguments)), current_(current) {
    plan_.request = BaseRequest(arguments);
  }

  absl::StatusOr<WritePlan> Run(const pb::State& file) {
    if (file.listeners().empty() && file.pools().empty() && file.backends().empty()) {
      return FileError(command_, "state", "names no object");
    }
    if (auto status = CollectNames(file); !status.ok()) return status;
    if (auto status = CollectBackends(file); !status.ok()) return status;
    SetDefaultWait(DrainedWait(kRemovalDrain, std::nullopt), &plan_.request);
    if (command_.prunes) {
      FindRemovedPools();
      RemoveListeners();
    }
    for (const pb::Pool& pool : file.pools()) {
      pb::Pool* put = plan_.request.add_ops()->mutable_put_pool();
      *put = pool;
      put->clear_revision();
      put->clear_status();
    }
    AddBackends();
    for (const pb::Listener& listener : file.listeners()) {
      pb::Listener* put = plan_.request.add_ops()->mutable_put_listener();
      *put = listener;
      put->clear_revision();
      put->clear_status();
    }
    for (const std::string& pool : removed_pools_) {
      pb::RemovePool* remove = plan_.request.add_ops()->mutable_remove_pool();
      remove->set_pool(pool);
      remove->set_force(true);  // with the caller's backends in it
    }
    if (command_.prunes && !plan_.request.has_expected_revision()) {
      plan_.request.set_expected_revision(current_->revision);
      plan_.is_based_on_read = true;
    }
    for (const auto& [owner, count] : skipped_) {
      // Only callers of the API write claims; the others' come from arguments and domains.
      plan_.warnings.push_back(fmt::format(
          "{} {} of {} left out: {}, or take over with --adopt", count,
          count == 1 ? "claim" : "claims", owner,
          owner.starts_with("api:") ? "apply with --owner " + owner : "leave that to its source"));
    }
    return std::move(plan_);
  }

 private:
  absl::Status CollectNames(const pb::State& file) {
    for (int i = 0; i < file.listeners_size(); ++i) {
      const std::string& name = file.listeners(i).name();
      const std::string path = fmt::format("listeners[{}].name", i);
      if (name.empty()) return FileError(command_, path, "is missing");
      if (!listeners_.insert(name).second) {
        return FileError(command_, path, fmt::format("\"{}\" stands twice", name));
      }
    }
    for (int i = 0; i < file.pools_size(); ++i) {
      const std::string& name = file.pools(i).name();
      const std::string path = fmt::format("pools[{}].name", i);
      if (name.empty()) return FileError(command_, path, "is missing");
      if (!pools_.insert(name).second) {
        return FileError(command_, path, fmt::format("\"{}\" stands twice", name));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CollectBackends(const pb::State& file) {
    std::map<std::pair<std::string, std::string>, int> seen;
    for (int i = 0; i < file.backends_size(); ++i) {
      const pb::Backend& backend = file.backends(i);
      const std::string path = fmt::format("backends[{}]", i);
      if (backend.status().state() == pb::BACKEND_STATE_REMOVING) continue;
      if (backend.pool().empty()) return FileError(command_, path + ".pool", "is missing");
      const auto address = ParseAddress(backend.address(), PortZero::kRefused);
      if (!address.ok()) {
        return FileError(command_, path + ".address", std::string(address.status().message()));
      }
      const auto [other, is_new] = seen.emplace(std::pair(backend.pool(), *address), i);
      if (!is_new) {
        return FileError(command_, path,
                         fmt::format("backend/{}/{} stands also in backends[{}]", backend.pool(),
                                     *address, other->second));
      }
      if (auto status = CollectClaims(backend, *address, path); !status.ok()) return status;
      CollectOverride(backend, *address);
    }
    return absl::OkStatus();
  }

  absl::Status CollectClaims(const pb::Backend& backend, const std::string& address,
                             const std::string& path) {
    PoolBackends& pool = backends_[backend.pool()];
    if (backend.claims().empty()) {
      pool.specs.emplace_back().set_address(address);
      return absl::OkStatus();
    }
    bool is_taken = false;
    for (int i = 0; i < backend.claims_size(); ++i) {
      const pb::Claim& claim = backend.claims(i);
      const bool is_own = claim.owner().empty() || claim.owner() == owner_;
      if (!is_own && !command_.adopts) {
        ++skipped_[claim.owner()];
        continue;
      }
      if (!claim.spec().address().empty()) {
        const auto spec_address = ParseAddress(claim.spec().address(), PortZero::kRefused);
        if (!spec_address.ok() || *spec_address != address) {
          return FileError(
              command_, fmt::format("{}.claims[{}].spec.address", path, i),
              fmt::format("\"{}\" is not the backend's \"{}\"", claim.spec().address(), address));
        }
      }
      if (is_taken && !command_.adopts) {
        return FileError(command_, fmt::format("{}.claims[{}].owner", path, i),
                         fmt::format("\"{}\" stands twice", owner_));
      }
      if (is_taken) continue;
      is_taken = true;
      pool.specs.push_back(claim.spec());
      pool.specs.back().set_address(address);
    }
    return absl::OkStatus();
  }

  void CollectOverride(const pb::Backend& backend, const std::string& address) {
    if (!backend.has_override()) return;
    if (!IsClaimedByPlan(backend) && !Exists(backend.pool(), address)) {
      plan_.warnings.push_back(
          fmt::format("the override of backend/{}/{} is left out: there is no such backend",
                      backend.pool(), address));
      return;
    }
    pb::Override imposed = backend.override();
    imposed.clear_expire_time();
    imposed.clear_set_by();
    auto& overrides = backends_[backend.pool()].overrides;
    for (auto& [known, addresses] : overrides) {
      if (known.SerializeAsString() == imposed.SerializeAsString()) {
        addresses.push_back(address);
        return;
      }
    }
    overrides.emplace_back(std::move(imposed), std::vector<std::string>{address});
  }

  // Whether the plan writes a claim of this backend.
  bool IsClaimedByPlan(const pb::Backend& backend) const {
    return !IsOnlyForeign(backend, owner_, command_);
  }

  bool Exists(const std::string& pool, const std::string& address) const {
    const auto& backends = current_->state.backends();
    return std::any_of(backends.begin(), backends.end(), [&](const pb::Backend& backend) {
      return backend.pool() == pool && backend.address() == address && !backend.claims().empty();
    });
  }

  void AddBackends() {
    if (command_.prunes) {
      // Pools of which the file names no backend: the caller's claims in them go.
      for (const pb::Backend& backend : current_->state.backends()) {
        for (const pb::Claim& claim : backend.claims()) {
          if (claim.owner() != owner_ || removed_pools_.contains(backend.pool())) continue;
          backends_.try_emplace(backend.pool());
        }
      }
    }
    for (auto& [pool, backends] : backends_) {
      if (command_.prunes || !backends.specs.empty()) {
        pb::Op* op = plan_.request.add_ops();
        pb::BackendSet* set =
            command_.prunes ? op->mutable_replace_backends() : op->mutable_upsert_backends();
        set->set_pool(pool);
        for (pb::BackendSpec& spec : backends.specs) *set->add_backends() = std::move(spec);
      }
      for (auto& [imposed, addresses] : backends.overrides) {
        pb::SetOverride* set = plan_.request.add_ops()->mutable_set_override();
        set->set_pool(pool);
        set->set_clear(true);  // what the file says, and nothing else
        *set->mutable_override() = std::move(imposed);
        for (std::string& address : addresses) {
          set->mutable_selector()->add_addresses(std::move(address));
        }
      }
    }
  }

  void RemoveListeners() {
    for (const pb::Listener& listener : current_->state.listeners()) {
      if (listeners_.contains(listener.name())) continue;
      plan_.request.add_ops()->set_remove_listener(listener.name());
    }
  }

  // Pools that the file names neither as such nor by a backend in them, and that no other owner
  // uses.
  void FindRemovedPools() {
    std::map<std::string, std::string> foreign;  // pool → an owner besides the caller
    for (const pb::Backend& backend : current_->state.backends()) {
      for (const pb::Claim& claim : backend.claims()) {
        if (claim.owner() != owner_) foreign.emplace(backend.pool(), claim.owner());
      }
    }
    for (const pb::Pool& pool : current_->state.pools()) {
      if (pools_.contains(pool.name()) || backends_.contains(pool.name())) continue;
      if (const auto found = foreign.find(pool.name()); found != foreign.end()) {
        plan_.warnings.push_back(
            fmt::format("pool/{} is kept: {} claims backends in it", pool.name(), found->second));
      } else {
        removed_pools_.insert(pool.name());
      }
    }
  }

  const ApplyFileCommand& command_;
  const std::string owner_;
  const std::optional<CurrentState>& current_;
  WritePlan plan_;
  std::set<std::string> listeners_;  // that the file names
  std::set<std::string> pools_;
  std::set<std::string> removed_pools_;
  std::map<std::string, PoolBackends> backends_;  // by pool
  std::map<std::string, int> skipped_;            // claims left out, by owner
};

}  // namespace

bool NeedsCurrentState(const Arguments& arguments, const ApplyFileCommand& command,
                       const pb::State& file) {
  const std::string owner = OwnerOf(arguments);
  return command.prunes ||
         std::any_of(file.backends().begin(), file.backends().end(),
                     [&](const pb::Backend& backend) {
                       return backend.has_override() && IsOnlyForeign(backend, owner, command);
                     });
}

absl::StatusOr<WritePlan> PlanApplyState(const Arguments& arguments,
                                         const ApplyFileCommand& command, const pb::State& file,
                                         const std::optional<CurrentState>& current) {
  return StateCompiler(arguments, command, current).Run(file);
}

absl::StatusOr<WritePlan> PlanApplyRequest(const Arguments& arguments,
                                           const ApplyFileCommand& command,
                                           pb::ApplyRequest request) {
  if (command.prunes || command.adopts) {
    return FileError(command, "ops",
                     fmt::format("{} is for states, and this is a request",
                                 command.prunes ? "--prune" : "--adopt"));
  }
  WritePlan plan;
  const pb::ApplyRequest base = BaseRequest(arguments);
  if (request.owner().empty() || arguments.global.owner) request.set_owner(base.owner());
  if (arguments.write.is_dry_run) request.set_validate_only(true);
  if (arguments.write.comment) request.set_comment(base.comment());
  if (arguments.write.allows_mass_removal) request.set_allow_mass_removal(true);
  if (arguments.write.holder) request.set_holder(base.holder());
  if (arguments.write.expected_revision) {
    request.set_expected_revision(base.expected_revision());
  }
  if (arguments.write.wait || request.wait() == pb::WAIT_FOR_UNSPECIFIED) {
    request.set_wait(base.wait());
  }
  if (arguments.write.wait_timeout) *request.mutable_wait_timeout() = base.wait_timeout();
  SetDefaultWait(DrainedWait(kRemovalDrain, std::nullopt), &request);
  plan.request = std::move(request);
  return plan;
}

namespace {

// As the daemon ranks owners.
int RankOf(const std::string& owner) {
  if (owner.starts_with("api:")) return 0;
  if (owner.starts_with("xds:")) return 1;
  return owner == "static" ? 2 : 3;
}

uint64_t OldestOrder(const pb::Backend& backend) {
  uint64_t oldest = 0;
  for (const pb::Claim& claim : backend.claims()) {
    if (oldest == 0 || claim.order() < oldest) oldest = claim.order();
  }
  return oldest;
}

// Where orders are told, a pool's backends and a backend's claims come by them; else as they are.
void SortByOrder(pb::State* state) {
  auto* const backends = state->mutable_backends();
  const auto is_told = [](const pb::Backend& backend) { return OldestOrder(backend) != 0; };
  if (std::none_of(backends->begin(), backends->end(), is_told)) return;
  std::stable_sort(backends->begin(), backends->end(), [](const auto& a, const auto& b) {
    return std::tuple(a.pool(), OldestOrder(a)) < std::tuple(b.pool(), OldestOrder(b));
  });
  for (pb::Backend& backend : *backends) {
    auto* const claims = backend.mutable_claims();
    std::stable_sort(claims->begin(), claims->end(), [](const auto& a, const auto& b) {
      return std::tuple(RankOf(a.owner()), a.order()) < std::tuple(RankOf(b.owner()), b.order());
    });
  }
}

// Without what is output only, and without the backends that `is_left_out`.
template <typename IsLeftOut>
pb::State InputOf(pb::State state, IsLeftOut is_left_out) {
  for (pb::Listener& listener : *state.mutable_listeners()) {
    listener.clear_revision();
    listener.clear_status();
  }
  for (pb::Pool& pool : *state.mutable_pools()) {
    pool.clear_revision();
    pool.clear_status();
  }
  SortByOrder(&state);
  pb::State kept;
  for (pb::Backend& backend : *state.mutable_backends()) {
    if (is_left_out(backend)) continue;
    backend.clear_effective();
    backend.clear_status();
    backend.clear_revision();
    for (pb::Claim& claim : *backend.mutable_claims()) {
      claim.clear_revision();
      claim.clear_lease_expired();
      claim.clear_order();
    }
    if (backend.has_override()) backend.mutable_override()->clear_set_by();
    *kept.add_backends() = std::move(backend);
  }
  *state.mutable_backends() = std::move(*kept.mutable_backends());
  return state;
}

}  // namespace

bool IsImported(const Arguments& arguments, const ApplyFileCommand& command,
                const pb::State& file) {
  if (command.adopts || arguments.global.owner) return false;
  const auto names_owner = [](const pb::Claim& claim) { return !claim.owner().empty(); };
  return std::any_of(file.backends().begin(), file.backends().end(), [&](const auto& backend) {
    return std::any_of(backend.claims().begin(), backend.claims().end(), names_owner);
  });
}

WritePlan PlanImport(const Arguments& arguments, const ApplyFileCommand& command, pb::State file) {
  WritePlan plan;
  plan.request = BaseRequest(arguments);
  SetDefaultWait(DrainedWait(kRemovalDrain, std::nullopt), &plan.request);
  pb::Import* import = plan.request.add_ops()->mutable_import_state();
  import->set_replace_all(command.prunes);
  *import->mutable_state() = InputOf(std::move(file), [](const pb::Backend& backend) {
    return backend.status().state() == pb::BACKEND_STATE_REMOVING;
  });
  for (pb::Backend& backend : *import->mutable_state()->mutable_backends()) {
    for (pb::Claim& claim : *backend.mutable_claims()) {
      // It says nothing new, and a large state has to go into one message.
      if (claim.spec().address() == backend.address()) claim.mutable_spec()->clear_address();
    }
  }
  plan.hints["ROLE"] = "with --owner OWNER it is written as one owner's, which needs less";
  return plan;
}

pb::State WithoutOutput(pb::State state) {
  return InputOf(std::move(state),
                 [](const pb::Backend& backend) { return backend.claims().empty(); });
}

}  // namespace sidelb::client
