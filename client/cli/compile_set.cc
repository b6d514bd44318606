// The plans of `set`: a read object with a part of it changed.
#include <algorithm>

#include "client/cli/attributes.h"
#include "client/cli/compile.h"
#include "client/cli/values.h"
#include "client/error_details.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

absl::Status NotFound(std::string_view reason, const std::string& message) {
  return MakeError(absl::StatusCode::kNotFound, reason, message);
}

std::string OwnersOf(const pb::Backend& backend) {
  std::vector<std::string> owners;
  for (const pb::Claim& claim : backend.claims()) owners.push_back(claim.owner());
  return fmt::format("{}", fmt::join(owners, ", "));
}

// What will not show, though the claim changes.
void WarnOfHiddenChange(const pb::Backend& backend, const std::string& owner,
                        const BackendAttributes& attributes, WritePlan* plan) {
  // The claim in force stands first.
  if (backend.claims(0).owner() != owner) {
    plan->warnings.push_back(
        fmt::format("backend/{}/{}: the claim of {} is in force; that of {} shows when it is gone",
                    backend.pool(), backend.address(), backend.claims(0).owner(), owner));
  }
  if (attributes.weight && backend.override().has_weight()) {
    plan->warnings.push_back(
        fmt::format("backend/{}/{}: an override sets the weight to {}, whatever the claims say",
                    backend.pool(), backend.address(), backend.override().weight()));
  }
}

void AddWeightOverride(const SetBackendsCommand& command, const std::string& address,
                       pb::ApplyRequest* request) {
  pb::SetOverride* set = request->add_ops()->mutable_set_override();
  set->set_pool(command.pool);
  set->mutable_selector()->add_addresses(address);
  if (*command.attributes.weight) {
    set->mutable_override()->set_weight(**command.attributes.weight);
    set->mutable_override()->set_reason(command.reason);
    if (command.ttl) *set->mutable_override()->mutable_ttl() = ToProto(*command.ttl);
  } else {
    set->add_clear_parts(pb::OVERRIDE_PART_WEIGHT);
  }
}

}  // namespace

absl::StatusOr<WritePlan> PlanSetBackends(const Arguments& arguments,
                                          const SetBackendsCommand& command,
                                          const pb::State& current, uint64_t revision) {
  const std::string owner = OwnerOf(arguments);
  WritePlan plan;
  plan.request = BaseRequest(arguments);
  SetDefaultWait(DrainedWait(kRemovalDrain, std::nullopt), &plan.request);
  if (!plan.request.has_expected_revision()) {
    plan.request.set_expected_revision(revision);
    plan.is_based_on_read = true;
  }
  for (const std::string& address : command.addresses) {
    const auto backend = std::find_if(
        current.backends().begin(), current.backends().end(), [&](const pb::Backend& candidate) {
          return candidate.pool() == command.pool && candidate.address() == address;
        });
    if (backend == current.backends().end() || backend->claims().empty()) {
      return NotFound("BACKEND_NOT_FOUND",
                      fmt::format("pool \"{}\" has no backend {}; add it with \"sidelb-cli add\"",
                                  command.pool, address));
    }
    const auto claim = std::find_if(backend->claims().begin(), backend->claims().end(),
                                    [&](const pb::Claim& c) { return c.owner() == owner; });
    // What is to end by itself cannot be a claim.
    if (claim != backend->claims().end() && !command.ttl) {
      WarnOfHiddenChange(*backend, owner, command.attributes, &plan);
      pb::BackendSet* set = plan.request.add_ops()->mutable_upsert_backends();
      set->set_pool(command.pool);
      pb::BackendSpec* spec = set->add_backends();
      *spec = claim->spec();
      spec->set_address(address);
      ApplyAttributes(command.attributes, spec);
    } else if (command.attributes.HasOnlyWeight()) {
      AddWeightOverride(command, address, &plan.request);
    } else {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "NOT_OWNER",
          fmt::format("backend/{}/{} is claimed by {} and not by {}: of a foreign backend only the "
                      "weight can be set; \"sidelb-cli add\" makes a claim of your own",
                      command.pool, address, OwnersOf(*backend), owner));
    }
  }
  return plan;
}

absl::StatusOr<WritePlan> PlanSetPool(const Arguments& arguments, const SetPoolCommand& command,
                                      const pb::State& current) {
  const auto pool =
      std::find_if(current.pools().begin(), current.pools().end(),
                   [&](const pb::Pool& candidate) { return candidate.name() == command.name; });
  if (pool == current.pools().end()) {
    return NotFound("POOL_NOT_FOUND", fmt::format("there is no pool \"{}\"", command.name));
  }
  WritePlan plan;
  plan.request = BaseRequest(arguments);
  plan.is_based_on_read = !plan.request.has_expected_revision();
  pb::Op* op = plan.request.add_ops();
  op->set_expected_revision(pool->revision());
  pb::Pool* put = op->mutable_put_pool();
  *put = *pool;
  put->clear_revision();
  put->clear_status();
  ApplyAttributes(command.attributes, put);
  return plan;
}

absl::StatusOr<WritePlan> PlanSetListener(const Arguments& arguments,
                                          const SetListenerCommand& command,
                                          const pb::State& current) {
  const auto listener =
      std::find_if(current.listeners().begin(), current.listeners().end(),
                   [&](const pb::Listener& candidate) { return candidate.name() == command.name; });
  if (listener == current.listeners().end()) {
    return NotFound("LISTENER_NOT_FOUND", fmt::format("there is no listener \"{}\"", command.name));
  }
  WritePlan plan;
  plan.request = BaseRequest(arguments);
  plan.is_based_on_read = !plan.request.has_expected_revision();
  pb::Op* op = plan.request.add_ops();
  op->set_expected_revision(listener->revision());
  pb::Listener* put = op->mutable_put_listener();
  *put = *listener;
  put->clear_revision();
  put->clear_status();
  ApplyAttributes(command.attributes, put);
  return plan;
}

}  // namespace sidelb::client
