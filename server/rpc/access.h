// Access: who makes a call, and which role that gives, by the roles file or, without one, as admin.
//
// Thread safety: any thread.
#pragma once

#include <grpcpp/server_context.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/control/model.h"
#include "server/rpc/roles.h"

namespace sidelb::rpc {

// Of `names`, the principals that a caller is, with its role by `roles`; of several the one that
// may do most. Without `roles` everyone is admin. Callers without a role get UNAUTHENTICATED
// (NO_IDENTITY) if they are anonymous, else PERMISSION_DENIED (ROLE).
// REQUIRES: `names` is not empty.
absl::StatusOr<control::Caller> ResolveCaller(const Roles* roles,
                                              const std::vector<std::string>& names,
                                              std::string_view peer);

// "192.0.2.1:4711" of gRPC's "ipv4:192.0.2.1:4711", "[::1]:7" of "ipv6:%5B::1%5D:7"; `endpoint` for
// peers without a name.
std::string PeerText(std::string_view grpc_peer, std::string_view endpoint);

class Access {
 public:
  // `endpoint` is the peer of callers over a unix socket. `roles` may be null.
  Access(std::string endpoint, std::shared_ptr<const Roles> roles)
      : endpoint_(std::move(endpoint)), roles_(std::move(roles)) {}

  // From the next call on.
  void SetRoles(std::shared_ptr<const Roles> roles);

  absl::StatusOr<control::Caller> CallerOf(const grpc::CallbackServerContext& context) const;

  // Counts a refusal, and logs one a minute.
  void CountDenied(const absl::Status& status) const;
  uint64_t denied() const { return denied_.load(std::memory_order_relaxed); }

 private:
  const std::string endpoint_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Roles> roles_;  // guarded by mutex_
  mutable std::atomic<uint64_t> denied_{0};
  mutable std::atomic<int64_t> next_log_{0};  // seconds of the steady clock
};

}  // namespace sidelb::rpc
