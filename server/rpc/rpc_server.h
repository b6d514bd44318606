// RpcServer: the control endpoint: the control service, health (grpc.health.v1) and reflection on
// one unix socket or TCP port. Hides gRPC from its includers.
//
// Thread safety: all calls by the thread that owns it. gRPC's threads inherit the nice value and
// the signal mask of the thread that calls Start().
// Ownership: the controller and the switch must outlive it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/control/controller.h"
#include "server/rpc/endpoint.h"
#include "server/rpc/tls_files.h"

namespace sidelb::rpc {

class ShutdownSwitch;

// Who may use the endpoint.
struct Security {
  std::optional<TlsPaths> tls;  // of a TCP endpoint
  std::string roles;            // path of the roles file; empty = everyone who gets in is admin
};

class RpcServer {
 public:
  // Takes the endpoint, so that a second daemon fails before it touches traffic: a unix socket is
  // locked, it or the port is bound, clients queue. Reads the files of `security`.
  // FAILED_PRECONDITION with the errno text when a TCP port cannot be bound.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Open(const Endpoint& endpoint,
                                                         const Security& security = {});
  // The first of `paths` where a socket can be made; makes its folder if only that is missing.
  // ALREADY_EXISTS when another daemon has one of them, FAILED_PRECONDITION with the reasons when
  // none will do.
  static absl::StatusOr<std::unique_ptr<RpcServer>> OpenDefault(
      const std::vector<std::string>& paths, const Security& security = {});
  ~RpcServer();  // Stop()
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // Begins to serve. Without `shutdown` the call Shutdown is refused.
  absl::Status Start(control::Controller* controller, const std::string& version,
                     const std::string& epoch, ShutdownSwitch* shutdown = nullptr);

  // Reads the roles file and the files of TLS again. A file that cannot be used changes nothing;
  // the error is that of the roles file, with its name.
  absl::Status Reload();

  // Where it listens, with the port that the kernel chose.
  const Endpoint& endpoint() const;

  // Health answers NOT_SERVING from now on.
  void SetNotServing();

  // Ends all calls with UNAVAILABLE (SERVER_DRAINING), closes the endpoint, and returns when gRPC
  // has ended; connections that do not end by themselves are cut after `grace`. Idempotent.
  void Stop(absl::Duration grace = absl::Milliseconds(500));

 private:
  struct Parts;  // hides gRPC

  explicit RpcServer(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace sidelb::rpc
