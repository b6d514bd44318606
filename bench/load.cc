// sidelb-load: the load generator of bench/compare and the backends behind it, in one thread, so
// that both share the core that the proxy does not have. The backends stay, as the proxy's health
// checks want them to; each line of stdin is a scenario to run through the proxy, and is answered
// by what was done and the CPU time that the proxy used for it, as one line of JSON.
//
//   sidelb-load --proxy 127.0.0.1:7000 --backend 127.0.1.1:7100
//   --scenario rtt --connections 64 --pid 4711
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
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
  std::string proxy;
  std::vector<std::string> backends;
};

// One line of stdin.
struct Job {
  Scenario scenario = Scenario::kRtt;
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

// The lines of stdin.
class Input : public Actor {
 public:
  void OnEvents(uint32_t) override {
    char buffer[4096];
    const ssize_t size = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
      is_closed_ = true;
    } else {
      text_.append(buffer, static_cast<size_t>(size));
    }
  }
  bool has_line() const { return is_closed_ || text_.find('\n') != std::string::npos; }
  // nullopt at the end.
  std::optional<std::string> TakeLine() {
    const size_t end = text_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }

 private:
  std::string text_;
  bool is_closed_ = false;
};

class Generator {
 public:
  explicit Generator(const Arguments& arguments)
      : proxy_(*Address::Parse(arguments.proxy)),
        backend_(loop_, tally_, AddressesOf(arguments.backends)) {
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    loop_.Watch(STDIN_FILENO, EPOLLIN | EPOLLHUP, &input_);
  }

  // The next line; nullopt at the end. The backends serve meanwhile.
  std::optional<std::string> NextLine() {
    loop_.RunUntil([this] { return input_.has_line(); });
    return input_.TakeLine();
  }

  void Run(const Job& job) {
    tally_ = Tally();
    backend_.set_service(ServiceOf(job.scenario));
    Clients::Options options{
        .scenario = job.scenario, .proxy = proxy_, .connections = job.connections, .sources = {}};
    for (size_t i = 1; i <= job.sources; ++i) {
      options.sources.push_back(*Address::Parse("127.99.0." + std::to_string(i) + ":0"));
    }
    const Clients clients(loop_, tally_, std::move(options));
    if (job.scenario == Scenario::kIdle) return RunIdle(job);
    RunFor(job.warmup);
    const auto begin = Clock::now();
    const uint64_t units_before = Units(job.scenario, tally_);
    const uint64_t cpu_before = CpuNanoseconds(job.pids);
    RunFor(job.seconds);
    const uint64_t cpu = CpuNanoseconds(job.pids) - cpu_before;
    const uint64_t units = Units(job.scenario, tally_) - units_before;
    Print(units, Seconds(Clock::now() - begin).count(), cpu, tally_);
  }

 private:
  static std::vector<Address> AddressesOf(const std::vector<std::string>& texts) {
    std::vector<Address> addresses;
    for (const std::string& text : texts) addresses.push_back(*Address::Parse(text));
    return addresses;
  }
  void RunFor(double seconds) {
    const auto end = Clock::now() + Seconds(seconds);
    loop_.RunUntil([&] { return Clock::now() >= end; });
  }
  void RunIdle(const Job& job) {
    const auto begin = Clock::now();
    loop_.RunUntil([&] {
      return tally_.errors > 0 || tally_.greeted == job.connections ||
             Clock::now() - begin > Seconds(kIdleLimitSeconds);
    });
    Print(tally_.greeted, Seconds(Clock::now() - begin).count(), CpuNanoseconds(job.pids), tally_);
    // The connections stay until whoever reads that line has measured and sends another one.
    NextLine();
  }

  const Address proxy_;
  EventLoop loop_;
  Tally tally_;
  Backend backend_;
  Input input_;
};

// nullopt, with a text on stderr, when the line is wrong.
std::optional<Job> ParseJob(const std::string& line) {
  const std::map<std::string, Scenario> scenarios{{"setup", Scenario::kSetup},
                                                  {"rtt", Scenario::kRtt},
                                                  {"down", Scenario::kDown},
                                                  {"up", Scenario::kUp},
                                                  {"idle", Scenario::kIdle}};
  Job job;
  CLI::App app("A line of stdin", "line");
  app.add_option("--scenario", job.scenario, "setup, rtt, down, up or idle")
      ->required()
      ->transform(CLI::CheckedTransformer(scenarios).description(""));
  app.add_option("--pid", job.pids, "a process whose CPU time counts; may be repeated");
  app.add_option("--connections", job.connections, "at the same time")
      ->check(CLI::Range(1, 100000));
  app.add_option("--sources", job.sources,
                 "source addresses 127.99.0.1 and up; 0 lets the kernel choose")
      ->check(CLI::Range(0, 250));
  app.add_option("--warmup", job.warmup, "seconds that do not count")->check(CLI::Range(0.0, 60.0));
  app.add_option("--seconds", job.seconds, "seconds that count")->check(CLI::Range(0.01, 600.0));
  try {
    app.parse(line);
  } catch (const CLI::ParseError& error) {
    app.exit(error);
    return std::nullopt;
  }
  return job;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Load through a proxy, and the backends behind it; scenarios come on stdin, see "
      "bench/README.md.",
      "sidelb-load");
  app.add_option("--proxy", arguments.proxy, "where the proxy listens, ip:port")
      ->required()
      ->check(CheckAddress);
  app.add_option("--backend", arguments.backends, "ip:port to serve on; may be repeated")
      ->required()
      ->check(CheckAddress);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  Generator generator(arguments);
  std::puts("ready");
  std::fflush(stdout);
  while (const auto line = generator.NextLine()) {
    const std::optional<Job> job = ParseJob(*line);
    if (!job) return 2;
    generator.Run(*job);
  }
  return 0;
}

}  // namespace
}  // namespace sidelb::bench

int main(int argc, char** argv) { return sidelb::bench::Main(argc, argv); }
