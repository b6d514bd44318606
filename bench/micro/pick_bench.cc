// The cost of one pick and its release, in each mode, at several pool sizes; grouped by IP with
// four ports each.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/pool/backend.h"
#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {
namespace {

void BM_Pick(benchmark::State& state, Mode mode, bool weighted, bool grouped) {
  const auto size = static_cast<uint32_t>(state.range(0));
  PoolLoad load(1);
  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<Member> members;
  for (uint32_t i = 0; i < size; ++i) {
    const uint32_t ip = grouped ? i / 4 : i;
    const std::string text = "10." + std::to_string(ip >> 16) + "." +
                             std::to_string(ip >> 8 & 255) + "." + std::to_string(ip & 255) + ":" +
                             std::to_string(80 + i % 4);
    backends.push_back(std::make_unique<Backend>(*Address::Parse(text), 1));
    members.push_back({.address = backends.back()->address(),
                       .weight = weighted ? 1 + i % 100 : 100,
                       .backend = backends.back().get()});
  }
  const auto snapshot = PoolSnapshot::Build(1, mode, members, &load, 0, {.group_by_ip = grouped});
  if (mode == Mode::kLeastConnections) {
    const Grouping grouping = grouped ? Grouping::kByIp : Grouping::kNone;
    for (const Member& member : members) {
      load.index.Put(&member.backend->load, member.weight, 0, grouping);
    }
  }
  // Each place is given back 64 picks later, as sessions end.
  std::vector<Backend*> held(64, nullptr);
  uint64_t random = 1;
  size_t turn = 0;
  Address client = *Address::Parse("192.0.2.1:40000");
  for (auto _ : state) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    auto* v4 = reinterpret_cast<sockaddr_in*>(const_cast<sockaddr*>(client.data()));
    v4->sin_addr.s_addr = static_cast<uint32_t>(random >> 32);
    const PickResult picked = snapshot->Pick({.client = &client, .random = random});
    benchmark::DoNotOptimize(picked.backend);
    Backend*& slot = held[turn++ % held.size()];
    if (slot != nullptr) Release(&slot->load);
    slot = picked.backend;
  }
  for (Backend* backend : held) {
    if (backend != nullptr) Release(&backend->load);
  }
  for (const Member& member : members) load.index.Detach(&member.backend->load);
}

void RegisterOne(const std::string& name, Mode mode, bool weighted, bool grouped) {
  benchmark::RegisterBenchmark(name.c_str(), BM_Pick, mode, weighted, grouped)
      ->Arg(3)
      ->Arg(100)
      ->Arg(10'000);
}

void Register() {
  for (Mode mode :
       {Mode::kRoundRobin, Mode::kLeastConnections, Mode::kP2c, Mode::kRandom, Mode::kMaglev}) {
    for (bool weighted : {false, true}) {
      const std::string name =
          "pick/" + std::string(ModeName(mode)) + (weighted ? "/weighted" : "/equal");
      RegisterOne(name, mode, weighted, false);
      const bool may_group = mode == Mode::kLeastConnections || mode == Mode::kP2c;
      if (may_group) RegisterOne(name + "/grouped", mode, weighted, true);
    }
  }
}

const bool registered = (Register(), true);

}  // namespace
}  // namespace sidelb

BENCHMARK_MAIN();
