// Job: one line of stdin, what sidelb-load is to do next.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "bench/load/tally.h"

namespace sidelb::bench {

enum class Scenario {
  kSetup,       // open, exchange one message, FIN, FIN; then again
  kRtt,         // one message to and fro, again and again
  kDown,        // bytes from the backend
  kUp,          // bytes to the backend
  kIdle,        // exchange one message, then stay
  kUdpEcho,     // each datagram that comes back makes the next one leave
  kUdpSession,  // one datagram to and fro from a new port, again and again
  kUdpBurst,    // datagrams of equal size at once; the next ones when all are back
};

struct Job {
  Scenario scenario = Scenario::kRtt;
  std::string proxy;  // ip:port
  std::vector<pid_t> pids;
  size_t connections = 64;  // or flows
  size_t sources = 0;
  size_t size = 64;  // of a message or datagram
  size_t depth = 8;  // datagrams of a flow under way
  bool segments = false;
  double warmup = 0.2;
  double seconds = 1;

  bool is_udp() const { return scenario >= Scenario::kUdpEcho; }
};

inline constexpr size_t kMaxMessageBytes = 16384;
inline constexpr size_t kMaxDatagramBytes = 1472;
inline constexpr size_t kMaxDepth = 32;

// What the scenario counts.
uint64_t Units(Scenario scenario, const Tally& tally);

// nullopt, with a text on stderr, when the line is wrong.
std::optional<Job> ParseJob(const std::string& line);

// For CLI11: empty, or what is wrong with ip:port.
std::string CheckAddress(const std::string& text);

}  // namespace sidelb::bench
