// sidelb-load: the load generator of bench/compare and the backends behind it, in one thread, so
// that both share the core that the proxy does not have. It runs one scenario through a proxy that
// is already there, and prints what was done and the CPU time that the proxy used for it, as one
// line of JSON.
//
//   sidelb-load --scenario rtt --proxy 127.0.0.1:7000 --backend 127.0.1.1:7100 --pid 4711
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bench/load/backend.h"
#include "bench/load/clients.h"
#include "bench/load/cpu_clock.h"
#include "bench/load/event_loop.h"
#include "bench/load/tally.h"
#include "dataplane/base/address.h"

namespace sidelb::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr double kIdleLimitSeconds = 30;

struct Arguments {
  Scenario scenario = Scenario::kRtt;
  std::string proxy;
  std::vector<std::string> backends;
  std::vector<pid_t> pids;
  size_t connections = 64;
  size_t sources = 0;
  double warmup = 0.2;
  double seconds = 1;
};

Service ServiceOf(Scenario scenario) {
  switch (scenario) {
    case Scenario::kDown:
      return Service::kSource;
    case Scenario::kUp:
      return Service::kSink;
    default:
      return Service::kEcho;
  }
}

// What the scenario counts.
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
  }
  return 0;
}

std::string CheckAddress(const std::string& text) {
  const auto address = Address::Parse(text);
  return address.ok() ? std::string() : std::string(address.status().message());
}

void Print(uint64_t units, double seconds, uint64_t cpu, const Tally& tally) {
  std::printf(
      "{\"units\": %llu, \"seconds\": %.6f, \"proxy_cpu_seconds\": %.9f, \"errors\": %llu}\n",
      static_cast<unsigned long long>(units), seconds, static_cast<double>(cpu) / 1e9,
      static_cast<unsigned long long>(tally.errors));
  std::fflush(stdout);
}

int Run(const Arguments& arguments) {
  EventLoop loop;
  Tally tally;
  std::vector<Address> backends;
  for (const std::string& text : arguments.backends) backends.push_back(*Address::Parse(text));
  Clients::Options options{.scenario = arguments.scenario,
                           .proxy = *Address::Parse(arguments.proxy),
                           .connections = arguments.connections,
                           .sources = {}};
  for (size_t i = 1; i <= arguments.sources; ++i) {
    options.sources.push_back(*Address::Parse("127.99.0." + std::to_string(i) + ":0"));
  }

  const Backend backend(loop, tally, ServiceOf(arguments.scenario), backends);
  const Clients clients(loop, tally, std::move(options));
  const auto run_for = [&](double seconds) {
    const auto end = Clock::now() + Seconds(seconds);
    loop.RunUntil([&] { return Clock::now() >= end; });
  };

  if (arguments.scenario == Scenario::kIdle) {
    const auto begin = Clock::now();
    loop.RunUntil([&] {
      return tally.errors > 0 || tally.greeted == arguments.connections ||
             Clock::now() - begin > Seconds(kIdleLimitSeconds);
    });
    Print(tally.greeted, Seconds(Clock::now() - begin).count(), CpuNanoseconds(arguments.pids),
          tally);
    // The connections stay until the reader of that line has measured and closes our input.
    while (std::getchar() != EOF) {
    }
    return 0;
  }

  run_for(arguments.warmup);
  const auto begin = Clock::now();
  const uint64_t units_before = Units(arguments.scenario, tally);
  const uint64_t cpu_before = CpuNanoseconds(arguments.pids);
  run_for(arguments.seconds);
  const uint64_t cpu = CpuNanoseconds(arguments.pids) - cpu_before;
  const uint64_t units = Units(arguments.scenario, tally) - units_before;
  Print(units, Seconds(Clock::now() - begin).count(), cpu, tally);
  return 0;
}

int Main(int argc, char** argv) {
  const std::map<std::string, Scenario> scenarios{{"setup", Scenario::kSetup},
                                                  {"rtt", Scenario::kRtt},
                                                  {"down", Scenario::kDown},
                                                  {"up", Scenario::kUp},
                                                  {"idle", Scenario::kIdle}};
  Arguments arguments;
  CLI::App app("Load through a proxy, and the backends behind it; see bench/README.md.",
               "sidelb-load");
  app.add_option("--scenario", arguments.scenario, "setup, rtt, down, up or idle")
      ->required()
      ->transform(CLI::CheckedTransformer(scenarios).description(""));
  app.add_option("--proxy", arguments.proxy, "where the proxy listens, ip:port")
      ->required()
      ->check(CheckAddress);
  app.add_option("--backend", arguments.backends, "ip:port to serve on; may be repeated")
      ->required()
      ->check(CheckAddress);
  app.add_option("--pid", arguments.pids, "a process whose CPU time counts; may be repeated");
  app.add_option("--connections", arguments.connections, "at the same time")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--sources", arguments.sources,
                 "source addresses 127.99.0.1 and up; 0 lets the kernel choose")
      ->check(CLI::Range(0, 250))
      ->capture_default_str();
  app.add_option("--warmup", arguments.warmup, "seconds that do not count")
      ->check(CLI::Range(0.0, 60.0))
      ->capture_default_str();
  app.add_option("--seconds", arguments.seconds, "seconds that count")
      ->check(CLI::Range(0.01, 600.0))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return Run(arguments);
}

}  // namespace
}  // namespace sidelb::bench

int main(int argc, char** argv) { return sidelb::bench::Main(argc, argv); }
