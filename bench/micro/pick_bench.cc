// The cost of one pick and its release, in each mode, at several pool sizes.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/pool/backend.h"
#include "dataplane/pool/pool_snapshot.h"

namespace sidelb {
namespace {

void BM_Pick(benchmark::State& state, Mode mode, bool weighted) {
  const auto size = static_cast<uint32_t>(state.range(0));
  PoolLoad load(1);
  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<Member> members;
  for (uint32_t i = 0; i < size; ++i) {
    const std::string text = "10." + std::to_string(i >> 16) + "." + std::to_string(i >> 8 & 255) +
                             "." + std::to_string(i & 255) + ":80";
    backends.push_back(std::make_unique<Backend>(*Address::Parse(text), 1));
    members.push_back({.address = backends.back()->address(),
                       .weight = weighted ? 1 + i % 100 : 100,
                       .backend = backends.back().get()});
  }
  const auto snapshot = PoolSnapshot::Build(1, mode, members, &load);
  if (mode == Mode::kLeastConnections) {
    for (const Member& member : members) load.index.Put(&member.backend->load, member.weight, 0);
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

void Register() {
  for (Mode mode :
       {Mode::kRoundRobin, Mode::kLeastConnections, Mode::kP2c, Mode::kRandom, Mode::kMaglev}) {
    for (bool weighted : {false, true}) {
      const std::string name =
          "pick/" + std::string(ModeName(mode)) + (weighted ? "/weighted" : "/equal");
      benchmark::RegisterBenchmark(name.c_str(), BM_Pick, mode, weighted)
          ->Arg(3)
          ->Arg(100)
          ->Arg(10'000);
    }
  }
}

const bool registered = (Register(), true);

}  // namespace
}  // namespace sidelb

BENCHMARK_MAIN();
