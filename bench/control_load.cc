// sidelb-control-load: writers and watchers of the control service, for bench/scale. Prints one
// line of JSON.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <thread>

#include "absl/time/clock.h"
#include "bench/control/watchers.h"
#include "bench/control/writer.h"
#include "fmt/format.h"

namespace sidelb::bench {
namespace {

double Quantile(const std::vector<absl::Duration>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto index = static_cast<size_t>(share * static_cast<double>(sorted.size()));
  return absl::ToDoubleSeconds(sorted[std::min(index, sorted.size() - 1)]);
}

std::string Times(std::vector<absl::Duration> times) {
  std::sort(times.begin(), times.end());
  return fmt::format(R"("count": {}, "p50_seconds": {:.6f}, "p99_seconds": {:.6f}, )"
                     R"("max_seconds": {:.6f})",
                     times.size(), Quantile(times, 0.5), Quantile(times, 0.99), Quantile(times, 1));
}

struct Options {
  std::string endpoint, pool = "web";
  std::vector<std::string> addresses;
  int clients = 1, watchers = 100, rate = 10, per_connection = 50;
  double seconds = 3;
  bool is_committed_enough = false;
};

void Applies(const Options& options) {
  const auto times =
      MeasureApplies(options.endpoint, options.pool, options.clients,
                     options.is_committed_enough ? pb::WAIT_FOR_COMMITTED : pb::WAIT_FOR_APPLIED,
                     absl::Seconds(options.seconds));
  fmt::print("{{\"per_second\": {:.1f}, {}}}\n",
             static_cast<double>(times.size()) / options.seconds, Times(times));
}

// One writer at a steady rate; says "ready" when it has connected.
void Changes(const Options& options) {
  const auto stub = Connect(options.endpoint);
  PutWeight(stub.get(), options.pool, 0, options.addresses.back(), 100, pb::WAIT_FOR_APPLIED);
  fmt::print("ready\n");
  std::fflush(stdout);
  const absl::Time begin = absl::Now();
  const auto times = MeasureChanges(stub.get(), options.pool, options.addresses, options.rate,
                                    absl::Seconds(options.seconds));
  fmt::print("{{\"per_second\": {:.1f}, {}}}\n",
             static_cast<double>(times.size()) / absl::ToDoubleSeconds(absl::Now() - begin),
             Times(times));
}

// Changes at a steady rate, on a clock that does not wait for the last one. Measured is each 1/10 s
// at most, because a watch is told no oftener.
void Watches(const Options& options) {
  Watchers watchers(options.endpoint, options.watchers, options.per_connection);
  // What was set up is there: the script reads the memory, then tells to go on.
  fmt::print("ready\n");
  std::fflush(stdout);
  if (std::getchar() == EOF) return;
  const auto stub = Connect(options.endpoint);
  const int step = std::max(1, options.rate / 10);
  const uint64_t before = watchers.messages();
  std::vector<absl::Duration> times;
  const absl::Time begin = absl::Now();
  const int changes = static_cast<int>(options.rate * options.seconds);
  for (int turn = 1; turn <= changes; ++turn) {
    absl::SleepFor(begin + absl::Seconds(1) * turn / options.rate - absl::Now());
    const absl::Time sent = absl::Now();
    const auto response = PutWeight(stub.get(), options.pool, 0, turn, pb::WAIT_FOR_COMMITTED);
    if (turn % step == 0) times.push_back(watchers.WaitForAll(response.revision()) - sent);
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  fmt::print("{{\"changes_per_second\": {:.1f}, \"messages_per_second\": {:.0f}, {}}}\n",
             changes / seconds, static_cast<double>(watchers.messages() - before) / seconds,
             Times(times));
  std::fflush(stdout);
  std::getchar();  // the watches stay until the script has looked
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Writers and watchers of the control service; prints JSON.");
  app.require_subcommand(1);
  app.add_option("--endpoint", options.endpoint)->required();
  app.add_option("--pool", options.pool);
  app.add_option("--seconds", options.seconds)->check(CLI::Range(0.1, 600.0));
  CLI::App* const apply = app.add_subcommand("apply", "one Apply after the other, by each client");
  apply->add_option("--clients", options.clients)->check(CLI::Range(1, 200));
  apply->add_flag("--committed", options.is_committed_enough, "wait for COMMITTED, not APPLIED");
  CLI::App* const watch = app.add_subcommand("watch", "the time until the last watcher knows");
  watch->add_option("--watchers", options.watchers)->check(CLI::Range(1, 1000));
  watch->add_option("--rate", options.rate, "changes a second")->check(CLI::Range(1, 1000));
  watch->add_option("--per-connection", options.per_connection)->check(CLI::Range(1, 60));
  CLI::App* const change = app.add_subcommand("change", "one writer at a steady rate");
  change->add_option("--rate", options.rate, "changes a second")->check(CLI::Range(1, 1000));
  change->add_option("--address", options.addresses, "backends whose weights change")->required();
  CLI11_PARSE(app, argc, argv);
  if (apply->parsed()) Applies(options);
  if (watch->parsed()) Watches(options);
  if (change->parsed()) Changes(options);
  return 0;
}

}  // namespace
}  // namespace sidelb::bench

int main(int argc, char** argv) { return sidelb::bench::Main(argc, argv); }
