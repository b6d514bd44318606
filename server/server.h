// Server: the daemon as a whole. It owns all parts and states in which order they start and stop.
//
// Start: control endpoint taken (a second daemon fails here), status socket likewise -> state
// folder taken and read -> shards and control, with what was stored -> standalone configuration in
// use -> nice value raised by 5 -> gRPC, whose threads inherit it -> status socket. Stop (decision
// 25): health NOT_SERVING, status UNHEALTHY -> drain delay -> listeners close after what is queued,
// sessions may end, reads are answered, writes refused -> gRPC -> what was accepted is durable ->
// control and shards.
//
// Thread safety: all calls by main.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/config_file.h"
#include "server/control/controller.h"
#include "server/options.h"
#include "server/rpc/rpc_server.h"
#include "server/rpc/shutdown_switch.h"
#include "server/status_socket.h"

namespace sidelb::server {

class Server {
 public:
  // Serves when it returns. The error says what could not be had: an address with the errno text,
  // a control endpoint.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options);
  ~Server();  // Stop()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const rpc::Endpoint& control_endpoint() const { return rpc_->endpoint(); }

  // Readable once the call Shutdown asked for the end: Drain() and Stop() are due.
  int shutdown_descriptor() const { return shutdown_.descriptor(); }

  // Reads --config, the roles file and the files of TLS again. What is wrong with one is logged, of
  // --config and the roles also a condition, and changes nothing.
  void Reload();

  // Takes no new sessions, and returns when none is left or the time to drain is over:
  // drain_timeout, or what Shutdown asked for.
  void Drain();
  // Resets what is left and ends all threads. Idempotent.
  void Stop();

 private:
  explicit Server(const Options& options)
      : options_(options), shutdown_(options.drain_delay, options.drain_timeout) {}

  absl::Status StartParts();
  absl::Status OpenStatusSocket();
  absl::Status ApplyStandalone(const control::StoredState& stored);
  absl::Status ApplyConfig();
  void LogLimits() const;
  void LogListeners() const;
  void LogEndpoint() const;

  const Options options_;
  rpc::ShutdownSwitch shutdown_;
  ConfigNames config_names_;  // of the last --config that took effect
  // In the order of their start; they end in reverse.
  std::unique_ptr<control::Controller> controller_;
  std::unique_ptr<rpc::RpcServer> rpc_;
  std::unique_ptr<StatusSocket> status_;  // null = the status is told nowhere
};

}  // namespace sidelb::server
