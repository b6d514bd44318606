#include "tests/support/tcp.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

namespace sidelb::testing {
namespace {

Address Name(int fd, int (*get)(int, sockaddr*, socklen_t*)) {
  sockaddr_in6 name{};
  socklen_t size = sizeof(name);
  if (get(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return Address();
  return Address::FromSockaddr(reinterpret_cast<sockaddr*>(&name), size);
}

// How many connections wait to be accepted.
uint32_t QueuedAt(int listening) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  getsockopt(listening, IPPROTO_TCP, TCP_INFO, &info, &size);
  return info.tcpi_unacked;
}

void SetLimits(int fd) {
  const timeval limit{.tv_sec = kLimitSeconds, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace

TcpSocket::TcpSocket(UniqueFd fd) : fd_(std::move(fd)) { SetLimits(fd_.get()); }

TcpSocket TcpSocket::Connect(const Address& address, const Address& source) {
  UniqueFd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.is_open()) return {};
  SetLimits(fd.get());
  if (source.is_specified() && bind(fd.get(), source.data(), source.size()) != 0) return {};
  if (connect(fd.get(), address.data(), address.size()) != 0) return {};
  return TcpSocket(std::move(fd));
}

Address TcpSocket::local() const { return Name(fd_.get(), getsockname); }
Address TcpSocket::peer() const { return Name(fd_.get(), getpeername); }

bool TcpSocket::Send(std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = send(fd_.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    data.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

size_t TcpSocket::ReceiveSome(char* data, size_t size) {
  for (;;) {
    const ssize_t n = recv(fd_.get(), data, size, 0);
    if (n > 0) return static_cast<size_t>(n);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) {
      end_ = End::kFin;
    } else if (errno == ECONNRESET || errno == EPIPE) {
      end_ = End::kReset;
    } else {
      end_ = errno == EAGAIN ? End::kTimeout : End::kError;
    }
    return 0;
  }
}

std::string TcpSocket::Receive(size_t size) {
  std::string data(size, '\0');
  size_t received = 0;
  while (received < size) {
    const size_t n = ReceiveSome(data.data() + received, size - received);
    if (n == 0) break;
    received += n;
  }
  data.resize(received);
  return data;
}

std::string TcpSocket::ReceiveAll() {
  std::string all;
  char chunk[16 * 1024];
  while (const size_t n = ReceiveSome(chunk, sizeof(chunk))) all.append(chunk, n);
  return all;
}

End TcpSocket::WaitForEnd() {
  char chunk[16 * 1024];
  while (ReceiveSome(chunk, sizeof(chunk)) > 0) {
  }
  return end_;
}

void TcpSocket::SendFin() { shutdown(fd_.get(), SHUT_WR); }

void TcpSocket::Reset() {
  std::lock_guard lock(*closing_);
  if (!fd_.is_open()) return;
  const linger reset{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  fd_.Reset();
}

void TcpSocket::Close() {
  std::lock_guard lock(*closing_);
  fd_.Reset();
}

void TcpSocket::Shutdown() {
  std::lock_guard lock(*closing_);
  shutdown(fd_.get(), SHUT_RDWR);
}

void TcpSocket::LimitBuffers(int bytes) {
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

TcpServer::TcpServer(Handler handler, const Address& address) : handler_(std::move(handler)) {
  listening_.Reset(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  setsockopt(listening_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(listening_.get(), address.data(), address.size()) != 0 ||
      listen(listening_.get(), SOMAXCONN) != 0) {
    std::abort();
  }
  address_ = Name(listening_.get(), getsockname);
  wake_.Reset(eventfd(0, EFD_CLOEXEC));
  thread_ = std::thread([this] { AcceptLoop(); });
}

TcpServer::~TcpServer() { Stop(); }

void TcpServer::AcceptLoop() {
  pollfd watched[2] = {{listening_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  // Once it is told to stop, it accepts what is queued then: closing would reset that. What comes
  // meanwhile is left, or probes that come faster than threads begin would keep it for ever.
  std::optional<uint32_t> left;
  while (left != 0u) {
    if (!is_stopping_) {
      if (poll(watched, 2, -1) < 0) break;
    } else {
      left = left.has_value() ? *left - 1 : QueuedAt(listening_.get());
      if (left == 0u) break;
    }
    UniqueFd fd(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd.is_open()) {
      if (is_stopping_) break;
      continue;
    }
    ++accepted_;
    std::lock_guard lock(mutex_);
    Connection& connection = connections_.emplace_back();
    connection.socket = TcpSocket(std::move(fd));
    connection.thread = std::thread([this, &connection] {
      handler_(connection.socket);
      // The descriptor stays until Stop(), which may shut it down; the peer sees the FIN now.
      shutdown(connection.socket.fd(), SHUT_WR);
    });
  }
  listening_.Reset();
}

void TcpServer::StopListening() {
  is_stopping_ = true;
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) < 0) std::abort();
  if (thread_.joinable()) thread_.join();
}

void TcpServer::JoinHandlers() {
  StopListening();
  std::lock_guard lock(mutex_);
  for (Connection& connection : connections_) {
    if (connection.thread.joinable()) connection.thread.join();
  }
}

void TcpServer::Stop() {
  StopListening();
  std::lock_guard lock(mutex_);
  for (Connection& connection : connections_) {
    connection.socket.Shutdown();
    if (connection.thread.joinable()) connection.thread.join();
    connection.socket.Reset();
  }
  connections_.clear();
}

void Echo(TcpSocket& socket) {
  std::vector<char> chunk(64 * 1024);
  while (const size_t n = socket.ReceiveSome(chunk.data(), chunk.size())) {
    if (!socket.Send({chunk.data(), n})) return;
  }
}

TcpServer::Handler Greet(std::string greeting) {
  return [greeting = std::move(greeting)](TcpSocket& socket) {
    socket.Send(greeting);
    socket.WaitForEnd();
  };
}

Hole::Hole() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  address_ = *Address::Parse("127.0.0.1:0");
  if (bind(socket_.get(), address_.data(), address_.size()) != 0) std::abort();
  if (listen(socket_.get(), 0) != 0) std::abort();
  address_ = Name(socket_.get(), getsockname);
  for (int i = 0; i < 3; ++i) {
    fillers_.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    connect(fillers_.back().get(), address_.data(), address_.size());
  }
}

RefusedAddress::RefusedAddress() : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  address = *Address::Parse("127.0.0.1:0");
  if (bind(socket.get(), address.data(), address.size()) != 0) std::abort();
  address = Name(socket.get(), getsockname);
}

}  // namespace sidelb::testing
