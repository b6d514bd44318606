// What both sides do with a non-blocking stream socket: one system call or two for one event.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sidelb::bench {

enum class Flow {
  kOpen,
  kFin,    // the peer has sent all
  kReset,  // the stream broke
};

// Sends back what has come. Messages are small, so that the socket always takes them.
Flow EchoOnce(int fd);
// Sends as many zeros as the socket takes at once. A peer that goes is kReset.
Flow SendBulk(int fd);
// Drops what has come (the kernel does not copy it) and adds its size to `bytes`.
Flow ReceiveBulk(int fd, uint64_t& bytes);
// Sends a message of `size` bytes; false when the socket did not take it whole.
bool SendMessage(int fd, size_t size);
// Receives at most the rest of a message of `size` bytes, of which `received` have come before.
Flow ReceiveMessage(int fd, size_t size, size_t& received);

}  // namespace sidelb::bench
