// RpcServer: the control endpoint: the control service, health (grpc.health.v1) and reflection on
// one unix socket or TCP port. Hides gRPC from its includers.
//
// Thread safety: all calls by the thread that owns it. gRPC's threads inherit the nice value and
// the signal mask of the thread that calls Start().
// Ownership: the controller must outlive it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/control/controller.h"
#include "server/rpc/endpoint.h"

namespace sidelb::rpc {

class RpcServer {
 public:
  // Takes the endpoint, so that a second daemon fails before it touches traffic: a unix socket is
  // bound and locked, clients queue. TCP ports are bound by Start().
  static absl::StatusOr<std::unique_ptr<RpcServer>> Open(const Endpoint& endpoint);
  // The first of `paths` where a socket can be made; makes its folder if only that is missing.
  // ALREADY_EXISTS when another daemon has one of them, FAILED_PRECONDITION with the reasons when
  // none will do.
  static absl::StatusOr<std::unique_ptr<RpcServer>> OpenDefault(
      const std::vector<std::string>& paths);
  ~RpcServer();  // Stop()
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // Begins to serve. FAILED_PRECONDITION with the errno text when a TCP port cannot be bound.
  absl::Status Start(control::Controller* controller, const std::string& version,
                     const std::string& epoch);

  // Where it listens; after Start() with the port that the kernel chose.
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
