// StatusSocket: a unix stream socket that tells each connection "HEALTHY\n" or "UNHEALTHY\n" and
// closes it; the health checks of containers ask it. It needs no gRPC, and any user may connect.
//
// An answer is made by the control thread after every shard has come to it: when one of them hangs
// there is none. Connections that come meanwhile share one question, so that asking often is cheap.
//
// Thread safety: all calls by the thread that owns it. It answers on the control thread and on a
// thread of its own, "slb-status", which inherits the nice value of the one that calls Start().
// Ownership: the controller must outlive it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/control/controller.h"
#include "server/rpc/unix_acceptor.h"

namespace sidelb::server {

// Whether a daemon that serves `view` is healthy: with listeners, one of them must have a backend
// that may be picked. Without any it waits for its configuration, which is no fault. Listeners that
// are disabled do not count.
bool IsHealthy(const control::StateView& view);

class StatusSocket {
 public:
  // As UnixAcceptor::Open(): connections queue until Start().
  static absl::StatusOr<std::unique_ptr<StatusSocket>> Open(const std::string& path);
  // The first of `paths` that can be had, or null, with a warning, when none can.
  static std::unique_ptr<StatusSocket> OpenDefault(const std::vector<std::string>& paths);
  ~StatusSocket();  // Stop()
  StatusSocket(const StatusSocket&) = delete;
  StatusSocket& operator=(const StatusSocket&) = delete;

  // Begins to answer. REQUIRES: called once.
  void Start(control::Controller* controller);
  // The answer is UNHEALTHY from now on.
  void SetNotServing();
  // Removes the socket. Idempotent.
  void Stop();

  const std::string& path() const { return acceptor_->path(); }

 private:
  class Desk;  // where connections wait; lives on in the questions that are under way

  explicit StatusSocket(std::unique_ptr<rpc::UnixAcceptor> acceptor);

  const std::unique_ptr<rpc::UnixAcceptor> acceptor_;
  const std::shared_ptr<Desk> desk_;
};

}  // namespace sidelb::server
