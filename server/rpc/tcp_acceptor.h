// TcpAcceptor: the listening side of a TCP control endpoint, accepted by ourselves, so that the
// connections of all and of each source are bounded before gRPC spends anything on them.
//
// Thread safety and ownership: as AcceptLoop.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "dataplane/base/address.h"
#include "server/rpc/accept_loop.h"

namespace sidelb::rpc {

class TcpAcceptor {
 public:
  struct Options {
    Address address;  // port 0 = the kernel chooses
    size_t max_connections = 256;
    size_t max_per_source = 0;
    uint32_t max_rate = 0;  // of one source in a second
  };

  // Binds and listens; accepts nothing yet, connections queue. The error has the errno text and the
  // address. [::] takes IPv4 as well.
  static absl::StatusOr<std::unique_ptr<TcpAcceptor>> Open(const Options& options);

  void Start(AcceptLoop::Handler handler) { loop_.Start(std::move(handler)); }
  void Stop() { loop_.Stop(); }

  const Address& address() const { return address_; }  // with the port it has
  AcceptLoop::Counts counts() const { return loop_.counts(); }

 private:
  TcpAcceptor(const Options& options, const Address& address);

  const Address address_;
  AcceptLoop loop_;
};

}  // namespace sidelb::rpc
