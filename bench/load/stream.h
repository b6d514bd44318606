// What both sides do with a non-blocking stream socket: one system call or two for one event.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sidelb::bench {

// The size of a message in the scenarios with small ones.
inline constexpr size_t kMessageBytes = 64;

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
// Sends one message; false when the socket did not take it whole.
bool SendMessage(int fd);
// Receives at most the rest of one message, of which `received` bytes have come before.
Flow ReceiveMessage(int fd, size_t& received);

}  // namespace sidelb::bench
