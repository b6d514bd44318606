#include "server/rpc/tcp_acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "dataplane/base/status.h"
#include "fmt/format.h"

namespace sidelb::rpc {
namespace {

constexpr int kBacklog = 128;

}  // namespace

absl::StatusOr<std::unique_ptr<TcpAcceptor>> TcpAcceptor::Open(const Options& options) {
  const std::string what = fmt::format("cannot listen on {}", options.address.ToString());
  UniqueFd fd(
      socket(options.address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  if (!fd.is_open()) return ErrnoToStatus(errno, what);
  const int on = 1;
  const int off = 0;
  // Not SO_REUSEPORT: a second daemon must not share the port. Accepted sockets inherit
  // TCP_NODELAY.
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (options.address.is_v6()) {
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (bind(fd.get(), options.address.data(), options.address.size()) != 0 ||
      listen(fd.get(), kBacklog) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return ErrnoToStatus(errno, what);
  }
  const Address address = options.address.WithPort(
      Address::FromSockaddr(reinterpret_cast<const sockaddr*>(&bound), size).port());
  std::unique_ptr<TcpAcceptor> acceptor(new TcpAcceptor(options, address));
  if (absl::Status status = acceptor->loop_.Listen(std::move(fd)); !status.ok()) return status;
  return acceptor;
}

TcpAcceptor::TcpAcceptor(const Options& options, const Address& address)
    : address_(address),
      loop_({.name = fmt::format("the control endpoint {}", address.ToString()),
             .max_connections = options.max_connections,
             .max_per_source = options.max_per_source,
             .max_rate = options.max_rate}) {}

}  // namespace sidelb::rpc
