#include "server/rpc/access.h"

#include <grpc/grpc_security_constants.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_replace.h"
#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/rpc/user_connections.h"
#include "spdlog/spdlog.h"

namespace sidelb::rpc {
namespace {

// What the transport proved about the caller.
std::vector<std::string> NamesOf(const grpc::CallbackServerContext& context) {
  std::vector<std::string> names;
  const std::shared_ptr<const grpc::AuthContext> proof = context.auth_context();
  if (proof == nullptr) return {std::string(kAnonymous)};
  if (const auto uid = UserOf(*proof)) return {fmt::format("uid:{}", *uid)};
  for (const grpc::string_ref& name : proof->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME)) {
    names.push_back(fmt::format("san:{}", std::string_view(name.data(), name.size())));
  }
  if (!names.empty()) return names;
  // A certificate without a subject alternative name: good for the log, named by no rule.
  for (const grpc::string_ref& name : proof->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME)) {
    names.push_back(fmt::format("cn:{}", std::string_view(name.data(), name.size())));
  }
  if (names.empty()) names.emplace_back(kAnonymous);
  return names;
}

}  // namespace

absl::StatusOr<control::Caller> ResolveCaller(const Roles* roles,
                                              const std::vector<std::string>& names,
                                              std::string_view peer) {
  control::Caller caller{.principal = names.front(), .peer = std::string(peer)};
  if (roles == nullptr) {
    caller.role = control::Role::kAdmin;
    return caller;
  }
  const Grant* best = nullptr;
  for (const std::string& name : names) {
    const Grant* grant = roles->Find(name);
    if (grant == nullptr || (best != nullptr && grant->role <= best->role)) continue;
    best = grant;
    caller.principal = name;
  }
  if (best != nullptr) {
    caller.role = best->role;
    caller.owners = best->owners;
    return caller;
  }
  if (names.front() == kAnonymous) {
    return control::MakeError(
        absl::StatusCode::kUnauthenticated,
        "the caller is anonymous, and anonymous has no role; use a client certificate, or the unix "
        "socket",
        {.reason = "NO_IDENTITY"});
  }
  return control::MakeError(
      absl::StatusCode::kPermissionDenied,
      fmt::format("{} has no role; a line of the daemon's roles file gives one",
                  fmt::join(names, ", ")),
      {.reason = "ROLE", .metadata = {{"principal", names.front()}, {"role", "none"}}});
}

std::string PeerText(std::string_view grpc_peer, std::string_view endpoint) {
  if (grpc_peer.starts_with("ipv4:") || grpc_peer.starts_with("ipv6:")) {
    return absl::StrReplaceAll(std::string(grpc_peer.substr(5)),
                               {{"%5B", "["}, {"%5D", "]"}, {"%25", "%"}});
  }
  if (grpc_peer.empty() || grpc_peer == "unix:") return std::string(endpoint);
  return std::string(grpc_peer);
}

void Access::SetRoles(std::shared_ptr<const Roles> roles) {
  const std::lock_guard lock(mutex_);
  roles_ = std::move(roles);
}

absl::StatusOr<control::Caller> Access::CallerOf(const grpc::CallbackServerContext& context) const {
  std::shared_ptr<const Roles> roles;
  {
    const std::lock_guard lock(mutex_);
    roles = roles_;
  }
  return ResolveCaller(roles.get(), NamesOf(context), PeerText(context.peer(), endpoint_));
}

void Access::CountDenied(const absl::Status& status) const {
  denied_.fetch_add(1, std::memory_order_relaxed);
  const int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                          std::chrono::steady_clock::now().time_since_epoch())
                          .count();
  int64_t next = next_log_.load();
  if (now < next || !next_log_.compare_exchange_strong(next, now + 60)) return;
  spdlog::warn("a call was not permitted: {}; more of these are only counted for a minute",
               std::string(status.message()));
}

}  // namespace sidelb::rpc
