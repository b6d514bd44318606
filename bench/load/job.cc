#include "bench/load/job.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "dataplane/base/address.h"

namespace sidelb::bench {

uint64_t Units(Scenario scenario, const Tally& tally) {
  switch (scenario) {
    case Scenario::kSetup:
      return tally.connections;
    case Scenario::kRtt:
      return tally.round_trips;
    case Scenario::kDown:
    case Scenario::kUp:
      return tally.bytes;
    case Scenario::kIdle:
      return tally.greeted;
    case Scenario::kUdpEcho:
    case Scenario::kUdpSession:
    case Scenario::kUdpBurst:
      return tally.datagrams;
  }
  return 0;
}

std::string CheckAddress(const std::string& text) {
  const auto address = Address::Parse(text);
  return address.ok() ? std::string() : std::string(address.status().message());
}

std::optional<Job> ParseJob(const std::string& line) {
  const std::map<std::string, Scenario> scenarios{{"setup", Scenario::kSetup},
                                                  {"rtt", Scenario::kRtt},
                                                  {"down", Scenario::kDown},
                                                  {"up", Scenario::kUp},
                                                  {"idle", Scenario::kIdle},
                                                  {"udp-echo", Scenario::kUdpEcho},
                                                  {"udp-session", Scenario::kUdpSession},
                                                  {"udp-burst", Scenario::kUdpBurst}};
  Job job;
  CLI::App app("A line of stdin", "line");
  app.add_option("--scenario", job.scenario,
                 "setup, rtt, down, up, idle, udp-echo, udp-session or udp-burst")
      ->required()
      ->transform(CLI::CheckedTransformer(scenarios).description(""));
  app.add_option("--proxy", job.proxy, "where the proxy listens, ip:port")
      ->required()
      ->check(CheckAddress);
  app.add_option("--pid", job.pids, "a process whose CPU time counts; may be repeated");
  app.add_option("--connections", job.connections, "at the same time; or flows of UDP")
      ->check(CLI::Range(1, 100000));
  app.add_option("--sources", job.sources,
                 "source addresses 127.99.0.1 and up; 0 lets the kernel choose")
      ->check(CLI::Range(0, 250));
  app.add_option("--size", job.size, "bytes of a message or datagram")
      ->check(CLI::Range(size_t{16}, kMaxMessageBytes));
  app.add_option("--depth", job.depth, "datagrams of a flow under way, or in a burst")
      ->check(CLI::Range(size_t{1}, kMaxDepth));
  app.add_flag("--segments", job.segments, "bursts by UDP_SEGMENT and UDP_GRO");
  app.add_option("--warmup", job.warmup, "seconds that do not count")->check(CLI::Range(0.0, 60.0));
  app.add_option("--seconds", job.seconds, "seconds that count")->check(CLI::Range(0.01, 600.0));
  try {
    app.parse(line);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return std::nullopt;
  }
  if (job.is_udp() && job.size > kMaxDatagramBytes) {
    std::fprintf(stderr, "--size: a datagram has at most %zu bytes\n", kMaxDatagramBytes);
    return std::nullopt;
  }
  return job;
}

}  // namespace sidelb::bench
