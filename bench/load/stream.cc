#include "bench/load/stream.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace sidelb::bench {
namespace {

constexpr size_t kBulkBytes = 256 * 1024;

Flow EndOf(ssize_t result) {
  if (result == 0) return Flow::kFin;
  return errno == EAGAIN || errno == EINTR ? Flow::kOpen : Flow::kReset;
}

}  // namespace

Flow EchoOnce(int fd) {
  char data[4096];
  const ssize_t size = recv(fd, data, sizeof(data), 0);
  if (size <= 0) return EndOf(size);
  return send(fd, data, static_cast<size_t>(size), MSG_NOSIGNAL) == size ? Flow::kOpen
                                                                         : Flow::kReset;
}

Flow SendBulk(int fd) {
  static const std::array<char, kBulkBytes> kZeros{};
  const ssize_t size = send(fd, kZeros.data(), kZeros.size(), MSG_NOSIGNAL);
  return size > 0 ? Flow::kOpen : EndOf(size);
}

Flow ReceiveBulk(int fd, uint64_t& bytes) {
  const ssize_t size = recv(fd, nullptr, kBulkBytes, MSG_TRUNC);
  if (size <= 0) return EndOf(size);
  bytes += static_cast<uint64_t>(size);
  return Flow::kOpen;
}

bool SendMessage(int fd) {
  static const std::array<char, kMessageBytes> kMessage{};
  return send(fd, kMessage.data(), kMessage.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(kMessage.size());
}

Flow ReceiveMessage(int fd, size_t& received) {
  char data[kMessageBytes];
  const ssize_t size = recv(fd, data, kMessageBytes - received, 0);
  if (size <= 0) return EndOf(size);
  received += static_cast<size_t>(size);
  return Flow::kOpen;
}

}  // namespace sidelb::bench
