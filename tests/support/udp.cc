#include "tests/support/udp.h"

#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/support/tcp.h"

namespace sidelb::testing {
namespace {

// Ends a UdpServer: no test sends it.
constexpr std::string_view kStop = "\x01stop the server\x01";

}  // namespace

UdpSocket::UdpSocket(const Address& local, const Address& peer)
    : fd_(socket(local.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  const timeval limit{.tv_sec = kLimitSeconds, .tv_usec = 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  const int buffer = 4 << 20;
  setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
  if (bind(fd_.get(), local.data(), local.size()) != 0) std::abort();
  if (peer.is_specified() && connect(fd_.get(), peer.data(), peer.size()) != 0) std::abort();
}

Address UdpSocket::local() const {
  sockaddr_in6 name{};
  socklen_t size = sizeof(name);
  getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&name), &size);
  return Address::FromSockaddr(reinterpret_cast<sockaddr*>(&name), size);
}

bool UdpSocket::Send(std::string_view data) {
  return send(fd_.get(), data.data(), data.size(), 0) == static_cast<ssize_t>(data.size());
}

bool UdpSocket::SendTo(std::string_view data, const Address& peer) {
  return sendto(fd_.get(), data.data(), data.size(), 0, peer.data(), peer.size()) ==
         static_cast<ssize_t>(data.size());
}

bool UdpSocket::SendTrain(std::string_view data, uint16_t segment) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(segment))] = {};
  iovec vector{.iov_base = const_cast<char*>(data.data()), .iov_len = data.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = IPPROTO_UDP;
  header->cmsg_type = UDP_SEGMENT;
  header->cmsg_len = CMSG_LEN(sizeof(segment));
  std::memcpy(CMSG_DATA(header), &segment, sizeof(segment));
  return sendmsg(fd_.get(), &message, 0) == static_cast<ssize_t>(data.size());
}

std::optional<std::string> UdpSocket::Receive(Address* from) {
  std::vector<char> data(65'536);
  sockaddr_in6 name{};
  socklen_t size = sizeof(name);
  const ssize_t n =
      recvfrom(fd_.get(), data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&name), &size);
  if (n < 0) return std::nullopt;
  if (from != nullptr) *from = Address::FromSockaddr(reinterpret_cast<sockaddr*>(&name), size);
  return std::string(data.data(), static_cast<size_t>(n));
}

std::optional<std::string> UdpSocket::TryReceive() {
  pollfd watched{fd_.get(), POLLIN, 0};
  return poll(&watched, 1, 0) > 0 ? Receive() : std::nullopt;
}

UdpServer::UdpServer(Handler handler, const Address& address)
    : handler_(std::move(handler)), socket_(address), address_(socket_.local()) {
  thread_ = std::thread([this] {
    for (;;) {
      Address from;
      const std::optional<std::string> data = socket_.Receive(&from);
      if (!data.has_value()) continue;
      if (*data == kStop) return;
      ++received_;
      if (const auto answer = handler_(*data)) socket_.SendTo(*answer, from);
    }
  });
}

UdpServer::~UdpServer() {
  UdpSocket(address_.WithPort(0)).SendTo(kStop, address_);
  thread_.join();
}

}  // namespace sidelb::testing
