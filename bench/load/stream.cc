#include "bench/load/stream.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "bench/load/job.h"

namespace sidelb::bench {
namespace {

constexpr size_t kBulkBytes = 256 * 1024;

Flow EndOf(ssize_t result) {
  if (result == 0) return Flow::kFin;
  return errno == EAGAIN || errno == EINTR ? Flow::kOpen : Flow::kReset;
}

}  // namespace

Flow EchoOnce(int fd) {
  char data[kMaxMessageBytes];
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

bool SendMessage(int fd, size_t size) {
  static const std::array<char, kMaxMessageBytes> kMessage{};
  return send(fd, kMessage.data(), size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

Flow ReceiveMessage(int fd, size_t size, size_t& received) {
  char data[kMaxMessageBytes];
  const ssize_t result = recv(fd, data, size - received, 0);
  if (result <= 0) return EndOf(result);
  received += static_cast<size_t>(result);
  return Flow::kOpen;
}

}  // namespace sidelb::bench
