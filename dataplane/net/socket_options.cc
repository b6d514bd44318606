#include "dataplane/net/socket_options.h"

#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <cerrno>

#include "dataplane/base/status.h"
#include "fmt/format.h"

namespace sidelb {
namespace {

// How long sent data may stay unacknowledged before the connection counts as broken.
constexpr int kUserTimeoutMs = 60'000;
// Of a UDP listener, each way; the kernel's own limits cut it.
constexpr int kUdpBuffer = 4 * 1024 * 1024;

int SetOption(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof(value));
}

void SetLiveness(int fd, const ListenerSettings& settings) {
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
  const bool keepalive = settings.keepalive_idle.count() > 0;
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, keepalive ? 1 : 0);
  if (!keepalive) return;
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(settings.keepalive_idle.count()));
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(settings.keepalive_interval.count()));
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(settings.keepalive_count));
}

// The kernel tells where each datagram came to, and may queue more of them than by default.
void SetUdpOptions(int fd, const Address& address) {
  SetOption(fd, SOL_SOCKET, SO_RCVBUF, kUdpBuffer);
  // A train counts whole until the network card has sent it.
  SetOption(fd, SOL_SOCKET, SO_SNDBUF, kUdpBuffer);
  SetUdpGro(fd);
  if (address.is_v6()) {
    SetOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  } else {
    SetOption(fd, IPPROTO_IP, IP_PKTINFO, 1);
  }
}

}  // namespace

absl::StatusOr<std::vector<UniqueFd>> BindSockets(const Address& address, Transport transport,
                                                  size_t count, Address* bound) {
  const bool is_udp = transport == Transport::kUdp;
  *bound = address;
  std::vector<UniqueFd> sockets;
  for (size_t i = 0; i < count; ++i) {
    const auto fail = [&] {
      return ErrnoToStatus(errno, fmt::format("cannot bind {}", address.ToString()));
    };
    const int type = (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
    UniqueFd fd(socket(address.family(), type, 0));
    if (!fd.is_open()) return fail();
    // For UDP this option would let a stranger share the port; there is no TIME_WAIT to pass over.
    if (!is_udp) SetOption(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (is_udp) SetUdpOptions(fd.get(), address);
    if (address.is_v6()) SetOption(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (i > 0 && SetOption(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1) != 0) return fail();
    if (bind(fd.get(), bound->data(), bound->size()) != 0) return fail();
    if (i == 0) {
      sockaddr_in6 name{};
      socklen_t size = sizeof(name);
      if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) return fail();
      *bound =
          address.WithPort(Address::FromSockaddr(reinterpret_cast<sockaddr*>(&name), size).port());
      if (SetOption(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1) != 0) return fail();
    }
    sockets.push_back(std::move(fd));
  }
  return sockets;
}

void SetDownstreamOptions(int listening_fd, const ListenerSettings& settings) {
  SetOption(listening_fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetLiveness(listening_fd, settings);
}

int OpenUpstream(const Address& address, UniqueFd* fd) {
  fd->Reset(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd->is_open()) return errno;
  SetOption(fd->get(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (connect(fd->get(), address.data(), address.size()) == 0 || errno == EINPROGRESS) return 0;
  const int error = errno;
  fd->Reset();
  return error;
}

int OpenUdpUpstream(const Address& address, UniqueFd* fd) {
  fd->Reset(socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP));
  if (!fd->is_open()) return errno;
  if (connect(fd->get(), address.data(), address.size()) == 0) return 0;
  const int error = errno;
  fd->Reset();
  return error;
}

void SetUdpGro(int fd) { SetOption(fd, IPPROTO_UDP, UDP_GRO, 1); }

void SetUpstreamOptions(int fd, const ListenerSettings& settings) { SetLiveness(fd, settings); }

int TakeSocketError(int fd) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

void CloseWithReset(UniqueFd* fd) {
  if (!fd->is_open()) return;
  const linger reset{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd->get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  fd->Reset();
}

}  // namespace sidelb
