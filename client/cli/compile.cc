#include "client/cli/compile.h"

#include "client/cli/attributes.h"
#include "client/cli/values.h"

namespace sidelb::client {
namespace {

// The wait for sessions that no deadline ends.
constexpr absl::Duration kLongestWait = absl::Hours(1);
constexpr absl::Duration kMargin = absl::Seconds(5);

WritePlan NewPlan(const Arguments& arguments) {
  WritePlan plan;
  plan.request = BaseRequest(arguments);
  return plan;
}

// Calls `add(op_addresses)` for each op: one address each, or all in one when they are many.
template <typename Add>
void ForEachOp(const std::vector<std::string>& addresses, Add add) {
  if (addresses.size() > kMaxSingleOps) {
    add(addresses);
    return;
  }
  for (const std::string& address : addresses) add(std::vector<std::string>{address});
}

// The deadline that a removal without its own drain gets in `pool`.
absl::Duration RemovalWait(const std::optional<pb::Pool>& pool) {
  if (!pool || !pool->has_drain()) return DrainedWait(kRemovalDrain, std::nullopt);
  const pb::Drain& drain = pool->drain();
  return DrainedWait(drain.has_timeout() ? FromProto(drain.timeout()) : kRemovalDrain,
                     drain.on_timeout());
}

}  // namespace

std::string OwnerOf(const Arguments& arguments) {
  return arguments.global.owner.value_or(kDefaultOwner);
}

pb::ApplyRequest BaseRequest(const Arguments& arguments) {
  const WriteOptions& write = arguments.write;
  pb::ApplyRequest request;
  request.set_owner(OwnerOf(arguments));
  request.set_validate_only(write.is_dry_run);
  request.set_wait(write.wait.value_or(pb::WAIT_FOR_APPLIED));
  if (write.comment) request.set_comment(*write.comment);
  if (write.expected_revision) request.set_expected_revision(*write.expected_revision);
  request.set_allow_mass_removal(write.allows_mass_removal);
  if (write.holder) request.set_holder(*write.holder);
  if (write.wait_timeout) *request.mutable_wait_timeout() = ToProto(*write.wait_timeout);
  return request;
}

absl::Duration DrainedWait(std::optional<absl::Duration> timeout,
                           std::optional<pb::DrainAction> on_timeout) {
  if (!timeout || on_timeout == pb::DRAIN_ACTION_KEEP) return kLongestWait;
  return *timeout + kMargin;
}

void SetDefaultWait(absl::Duration wait, pb::ApplyRequest* request) {
  if (request->wait() != pb::WAIT_FOR_DRAINED || request->has_wait_timeout()) return;
  *request->mutable_wait_timeout() = ToProto(wait);
}

WritePlan PlanAddBackends(const Arguments& arguments, const AddBackendsCommand& command,
                          bool creates_pool) {
  WritePlan plan = NewPlan(arguments);
  SetDefaultWait(DrainedWait(kRemovalDrain, std::nullopt), &plan.request);
  if (creates_pool) {
    pb::Op* op = plan.request.add_ops();
    op->mutable_put_pool()->set_name(command.pool);
    op->set_expected_revision(0);  // another writer's pool must not lose its settings
    plan.is_based_on_read = true;
  }
  ForEachOp(command.addresses, [&](const std::vector<std::string>& addresses) {
    pb::BackendSet* set = plan.request.add_ops()->mutable_upsert_backends();
    set->set_pool(command.pool);
    for (const std::string& address : addresses) {
      pb::BackendSpec* spec = set->add_backends();
      spec->set_address(address);
      ApplyAttributes(command.attributes, spec);
    }
  });
  plan.hints["POOL_NOT_FOUND"] =
      "create it with \"sidelb-cli add pool " + command.pool + "\", or repeat with --create-pool";
  return plan;
}

WritePlan PlanAddPool(const Arguments& arguments, const AddPoolCommand& command) {
  WritePlan plan = NewPlan(arguments);
  pb::Op* op = plan.request.add_ops();
  op->mutable_put_pool()->set_name(command.name);
  op->set_expected_revision(0);
  ApplyAttributes(command.attributes, op->mutable_put_pool());
  return plan;
}

WritePlan PlanAddListener(const Arguments& arguments, const AddListenerCommand& command) {
  WritePlan plan = NewPlan(arguments);
  pb::Op* op = plan.request.add_ops();
  op->mutable_put_listener()->set_name(command.name);
  op->set_expected_revision(0);
  ApplyAttributes(command.attributes, op->mutable_put_listener());
  plan.hints["POOL_NOT_FOUND"] =
      "create it with \"sidelb-cli add pool " + command.attributes.pool.value_or("") + "\"";
  return plan;
}

WritePlan PlanRemoveBackends(const Arguments& arguments, const RemoveBackendsCommand& command,
                             const std::optional<pb::Pool>& pool) {
  WritePlan plan = NewPlan(arguments);
  ForEachOp(command.addresses, [&](const std::vector<std::string>& addresses) {
    pb::RemoveBackends* remove = plan.request.add_ops()->mutable_remove_backends();
    remove->set_pool(command.pool);
    remove->set_any_owner(command.is_any_owner);
    for (const std::string& address : addresses) remove->add_addresses(address);
    if (command.drain_timeout) {
      *remove->mutable_drain()->mutable_timeout() = ToProto(*command.drain_timeout);
    }
    if (command.on_timeout) remove->mutable_drain()->set_on_timeout(*command.on_timeout);
  });
  const bool has_drain = command.drain_timeout || command.on_timeout;
  SetDefaultWait(
      has_drain ? DrainedWait(command.drain_timeout.value_or(kRemovalDrain), command.on_timeout)
                : RemovalWait(pool),
      &plan.request);
  return plan;
}

WritePlan PlanRemovePools(const Arguments& arguments, const RemovePoolsCommand& command) {
  WritePlan plan = NewPlan(arguments);
  SetDefaultWait(DrainedWait(kRemovalDrain, std::nullopt), &plan.request);
  for (const std::string& name : command.names) {
    pb::RemovePool* remove = plan.request.add_ops()->mutable_remove_pool();
    remove->set_pool(name);
    remove->set_force(command.is_forced);
  }
  plan.hints["POOL_IN_USE"] = "remove what uses it first, or repeat with --force";
  return plan;
}

WritePlan PlanRemoveListeners(const Arguments& arguments, const RemoveListenersCommand& command) {
  WritePlan plan = NewPlan(arguments);
  for (const std::string& name : command.names) plan.request.add_ops()->set_remove_listener(name);
  return plan;
}

WritePlan PlanReplace(const Arguments& arguments, const std::string& pool_name,
                      std::vector<pb::BackendSpec> backends, const std::optional<pb::Pool>& pool) {
  WritePlan plan = NewPlan(arguments);
  SetDefaultWait(RemovalWait(pool), &plan.request);
  pb::BackendSet* set = plan.request.add_ops()->mutable_replace_backends();
  set->set_pool(pool_name);
  for (pb::BackendSpec& spec : backends) *set->add_backends() = std::move(spec);
  plan.hints["POOL_NOT_FOUND"] = "create it with \"sidelb-cli add pool " + pool_name + "\"";
  return plan;
}

WritePlan PlanSetMode(const Arguments& arguments, const SetModeCommand& command) {
  WritePlan plan = NewPlan(arguments);
  pb::SetMode* set = plan.request.add_ops()->mutable_set_mode();
  set->set_pool(command.pool);
  set->set_mode(command.mode);
  if (command.hash_key) set->set_hash_key(*command.hash_key);
  if (command.hash_table_size) set->set_hash_table_size(*command.hash_table_size);
  return plan;
}

pb::Selector ToSelector(const SelectorArguments& selector) {
  pb::Selector proto;
  for (const std::string& address : selector.addresses) proto.add_addresses(address);
  proto.set_zone(selector.zone);
  proto.set_group(selector.group);
  for (const auto& [key, value] : selector.tags) (*proto.mutable_tags())[key] = value;
  proto.set_all(selector.is_all);
  return proto;
}

WritePlan PlanOverride(const Arguments& arguments, const OverrideCommand& command) {
  WritePlan plan = NewPlan(arguments);
  pb::SetOverride set;
  set.set_pool(command.pool);
  pb::Override* imposed = set.mutable_override();
  switch (command.verb) {
    case OverrideCommand::Verb::kDrain:
      imposed->set_admin_state(pb::ADMIN_STATE_DRAINING);
      // A deadline of an earlier drain must not outlive this one.
      set.add_clear_parts(pb::OVERRIDE_PART_ADMIN_STATE);
      if (command.drain_timeout) {
        *imposed->mutable_drain()->mutable_timeout() = ToProto(*command.drain_timeout);
      }
      if (command.on_timeout) imposed->mutable_drain()->set_on_timeout(*command.on_timeout);
      SetDefaultWait(DrainedWait(command.drain_timeout, command.on_timeout), &plan.request);
      break;
    case OverrideCommand::Verb::kDisable:
      SetDefaultWait(DrainedWait(absl::ZeroDuration(), std::nullopt), &plan.request);
      imposed->set_admin_state(pb::ADMIN_STATE_DISABLED);
      set.add_clear_parts(pb::OVERRIDE_PART_ADMIN_STATE);
      break;
    case OverrideCommand::Verb::kEnable:
      set.add_clear_parts(pb::OVERRIDE_PART_ADMIN_STATE);
      if (command.is_forced) imposed->set_admin_state(pb::ADMIN_STATE_ENABLED);
      break;
    case OverrideCommand::Verb::kHealth:
      imposed->set_health(command.health);
      if (command.health == pb::HEALTH_OVERRIDE_UNSPECIFIED) {
        set.add_clear_parts(pb::OVERRIDE_PART_HEALTH);
      }
      break;
  }
  if (!command.reason.empty()) imposed->set_reason(command.reason);
  if (command.ttl) *imposed->mutable_ttl() = ToProto(*command.ttl);
  if (imposed->ByteSizeLong() == 0) set.clear_override();
  const SelectorArguments& selector = command.selector;
  const bool is_by_address = !selector.addresses.empty() && selector.zone.empty() &&
                             selector.group.empty() && selector.tags.empty();
  if (!is_by_address) {
    *set.mutable_selector() = ToSelector(selector);
    *plan.request.add_ops()->mutable_set_override() = std::move(set);
    return plan;
  }
  ForEachOp(selector.addresses, [&](const std::vector<std::string>& addresses) {
    pb::SetOverride* op = plan.request.add_ops()->mutable_set_override();
    *op = set;
    for (const std::string& address : addresses) op->mutable_selector()->add_addresses(address);
  });
  return plan;
}

}  // namespace sidelb::client
