// sidelb-load: the load generator of bench/compare and the backends behind it, in one thread, so
// that both share the core that the proxy does not have. The backends stay, as the proxy's health
// checks want them to; each line of stdin is a scenario to run through the proxy, and is answered
// by what was done and the CPU time that the proxy used for it, as one line of JSON.
//
//   sidelb-load --backend 127.0.1.1:7100
//   --scenario rtt --proxy 127.0.0.1:7000 --connections 64 --pid 4711
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/load/backend.h"
#include "bench/load/clients.h"
#include "bench/load/cpu_clock.h"
#include "bench/load/event_loop.h"
#include "bench/load/job.h"
#include "bench/load/tally.h"
#include "bench/load/udp_backend.h"
#include "bench/load/udp_clients.h"
#include "dataplane/base/address.h"
#include "fmt/format.h"

namespace sidelb::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr double kIdleLimitSeconds = 30;
constexpr double kSettleSeconds = 2;

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

using Threads = std::map<std::string, uint64_t>;  // nanoseconds by name

// A thread that came within the window counts from its beginning.
Threads Since(const Threads& before, Threads now) {
  for (auto& [name, nanoseconds] : now) {
    const auto found = before.find(name);
    if (found != before.end()) nanoseconds -= std::min(nanoseconds, found->second);
  }
  return now;
}

void Print(uint64_t units, double seconds, const Threads& threads, const Tally& tally) {
  uint64_t all = 0;
  std::string parts;
  for (const auto& [name, nanoseconds] : threads) {
    all += nanoseconds;
    parts += fmt::format(R"({}"{}": {:.9f})", parts.empty() ? "" : ", ", name,
                         static_cast<double>(nanoseconds) / 1e9);
  }
  std::puts(fmt::format(R"({{"units": {}, "seconds": {:.6f}, "proxy_cpu_seconds": {:.9f}, )"
                        R"("p50_us": {:.3f}, "p99_us": {:.3f}, "errors": {}, "threads": {{{}}}}})",
                        units, seconds, static_cast<double>(all) / 1e9,
                        static_cast<double>(tally.latency.Percentile(0.5)) / 1e3,
                        static_cast<double>(tally.latency.Percentile(0.99)) / 1e3, tally.errors,
                        parts)
                .c_str());
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
  explicit Generator(const std::vector<Address>& backends)
      : backend_(loop_, tally_, backends), udp_backend_(loop_, tally_, backends) {
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    loop_.Watch(STDIN_FILENO, EPOLLIN | EPOLLHUP, &input_);
  }

  // The next line; nullopt at the end. The backends serve meanwhile.
  std::optional<std::string> NextLine() {
    loop_.RunUntil([this] { return input_.has_line(); });
    return input_.TakeLine();
  }

  void Run(const Job& job) {
    // What the scenario before has cut is no error of this one.
    RunUntil(kSettleSeconds, [this] { return backend_.is_idle(); });
    tally_ = Tally();
    std::vector<Address> sources;
    for (size_t i = 1; i <= job.sources; ++i) {
      sources.push_back(*Address::Parse(fmt::format("127.99.0.{}:0", i)));
    }
    if (job.is_udp()) {
      udp_backend_.set_segments(job.segments);
      UdpClients clients(loop_, tally_, job, std::move(sources));
      const Window window = Measure(job);
      clients.Stop();
      RunUntil(kSettleSeconds, [&] { return clients.under_way() == 0; });
      tally_.errors += clients.under_way();
      return Print(window.units, window.seconds, window.threads, tally_);
    }
    backend_.set_service(ServiceOf(job.scenario));
    const Clients clients(loop_, tally_, job, std::move(sources));
    if (job.scenario == Scenario::kIdle) return RunIdle(job);
    const Window window = Measure(job);
    Print(window.units, window.seconds, window.threads, tally_);
  }

 private:
  struct Window {
    uint64_t units;
    double seconds;
    Threads threads;
  };

  Window Measure(const Job& job) {
    const auto never = [] { return false; };
    RunUntil(job.warmup, never);
    tally_.latency.Clear();
    const auto begin = Clock::now();
    const uint64_t units = Units(job.scenario, tally_);
    const Threads threads = CpuNanoseconds(job.pids);
    RunUntil(job.seconds, never);
    Threads used = Since(threads, CpuNanoseconds(job.pids));
    return {Units(job.scenario, tally_) - units, Seconds(Clock::now() - begin).count(),
            std::move(used)};
  }
  void RunUntil(double seconds, const std::function<bool()>& is_done) {
    const auto end = Clock::now() + Seconds(seconds);
    loop_.RunUntil([&] { return is_done() || Clock::now() >= end; });
  }
  void RunIdle(const Job& job) {
    const auto begin = Clock::now();
    RunUntil(kIdleLimitSeconds,
             [&] { return tally_.errors > 0 || tally_.greeted == job.connections; });
    Print(tally_.greeted, Seconds(Clock::now() - begin).count(), CpuNanoseconds(job.pids), tally_);
    // The connections stay until whoever reads that line has measured and sends another one.
    NextLine();
  }

  EventLoop loop_;
  Tally tally_;
  Backend backend_;
  UdpBackend udp_backend_;
  Input input_;
};

int Main(int argc, char** argv) {
  std::vector<std::string> texts;
  CLI::App app(
      "Load through a proxy, and the backends behind it; scenarios come on stdin, see "
      "bench/README.md.",
      "sidelb-load");
  app.add_option("--backend", texts, "ip:port to serve on, TCP and UDP; may be repeated")
      ->required()
      ->check(CheckAddress);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::vector<Address> backends;
  for (const std::string& text : texts) backends.push_back(*Address::Parse(text));
  Generator generator(backends);
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
