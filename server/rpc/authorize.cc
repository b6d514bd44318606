#include "server/rpc/authorize.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/rpc/convert_request.h"
#include "server/rpc/roles.h"

namespace sidelb::rpc {
namespace {

using control::Caller;
using control::Role;

// `what` is a call, or the path of a field.
absl::Status NeedRole(const Caller& caller, Role needed, std::string_view what) {
  if (caller.role >= needed) return absl::OkStatus();
  return control::MakeError(absl::StatusCode::kPermissionDenied,
                            fmt::format("{} needs the role {}; {} is {}", what, RoleName(needed),
                                        caller.principal, RoleName(caller.role)),
                            {.reason = "ROLE",
                             .metadata = {{"principal", caller.principal},
                                          {"role", std::string(RoleName(caller.role))},
                                          {"needed", std::string(RoleName(needed))}}});
}

absl::Status NeedOwner(const Caller& caller, std::string_view owner) {
  if (caller.role == Role::kAdmin) return absl::OkStatus();
  if (std::find(caller.owners.begin(), caller.owners.end(), owner) != caller.owners.end()) {
    return absl::OkStatus();
  }
  const std::string allowed =
      caller.owners.empty() ? "none" : fmt::format("{}", fmt::join(caller.owners, ", "));
  return control::MakeError(
      absl::StatusCode::kPermissionDenied,
      fmt::format("owner: {} may not act as '{}'; allowed: {}", caller.principal, owner, allowed),
      {.reason = "NOT_OWNER",
       .metadata = {
           {"principal", caller.principal}, {"owner", std::string(owner)}, {"allowed", allowed}}});
}

// The least role for an op, whoever's claims it writes, and the field that asks for it.
std::pair<Role, std::string_view> NeededBy(const pb::Op& op) {
  switch (op.op_case()) {
    case pb::Op::kUpsertBackends:
      return {Role::kOwner, "upsert_backends"};
    case pb::Op::kReplaceBackends:
      return {Role::kOwner, "replace_backends"};
    case pb::Op::kRemoveBackends:
      if (op.remove_backends().any_owner()) return {Role::kAdmin, "remove_backends.any_owner"};
      return {Role::kOwner, "remove_backends"};
    case pb::Op::kSetMode:
      return {Role::kOperator, "set_mode"};
    case pb::Op::kSetOverride:
      return {Role::kOperator, "set_override"};
    case pb::Op::kPutListener:
      return {Role::kAdmin, "put_listener"};
    case pb::Op::kRemoveListener:
      return {Role::kAdmin, "remove_listener"};
    case pb::Op::kPutPool:
      return {Role::kAdmin, "put_pool"};
    case pb::Op::kRemovePool:
      return {Role::kAdmin, "remove_pool"};
    case pb::Op::kImportState:
      return {Role::kAdmin, "import_state"};
    case pb::Op::OP_NOT_SET:
      // Of a later version, or none: what it is will be told to who may write at all.
      return {Role::kOwner, "op"};
  }
  return {Role::kAdmin, "op"};
}

bool WritesClaims(const pb::Op& op) {
  return op.has_upsert_backends() || op.has_replace_backends() || op.has_remove_backends();
}

}  // namespace

absl::Status Authorize(const Caller& caller, Call call) {
  switch (call) {
    case Call::kGetState:
      return NeedRole(caller, Role::kViewer, "GetState");
    case Call::kWatch:
      return NeedRole(caller, Role::kViewer, "Watch");
    case Call::kGetStats:
      return NeedRole(caller, Role::kViewer, "GetStats");
    case Call::kGetInfo:
      return NeedRole(caller, Role::kViewer, "GetInfo");
    case Call::kListAudit:
      return NeedRole(caller, Role::kViewer, "ListAudit");
    case Call::kShutdown:
      return NeedRole(caller, Role::kAdmin, "Shutdown");
  }
  return NeedRole(caller, Role::kAdmin, "the call");
}

absl::Status Authorize(const Caller& caller, const pb::ApplyRequest& request) {
  if (absl::Status status = NeedRole(caller, Role::kOwner, "Apply"); !status.ok()) return status;
  // What acts on behalf of an owner: claims, and a holder, whose lease the batch renews.
  bool acts_as_owner = caller.role == Role::kOwner || !request.holder().empty();
  for (int i = 0; i < request.ops_size(); ++i) {
    const auto [needed, field] = NeededBy(request.ops(i));
    if (caller.role < needed) return NeedRole(caller, needed, fmt::format("ops[{}].{}", i, field));
    acts_as_owner |= WritesClaims(request.ops(i));
  }
  if (request.allow_mass_removal()) {
    absl::Status status = NeedRole(caller, Role::kOperator, "allow_mass_removal");
    if (!status.ok()) return status;
  }
  return acts_as_owner ? NeedOwner(caller, OwnerOf(request.owner())) : absl::OkStatus();
}

absl::Status Authorize(const Caller& caller, const pb::RenewLeaseRequest& request) {
  // Without the holder's name it takes the lease from whoever has it.
  if (request.release() && request.take_over()) {
    return NeedRole(caller, Role::kOperator, "RenewLease with release and take_over");
  }
  absl::Status status = NeedRole(caller, Role::kOwner, "RenewLease");
  return status.ok() ? NeedOwner(caller, OwnerOf(request.owner())) : status;
}

}  // namespace sidelb::rpc
