// Random batches keep what always holds of a desired state.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

class RandomBatches {
 public:
  explicit RandomBatches(uint32_t seed) : random_(seed) {}

  ApplyRequest Next() {
    static const char* const kOwners[] = {"api:a", "api:b", "static", "ring:x"};
    std::vector<Op> ops;
    if (Below(10) == 0) return Ops({SomeImport()}, "api:a");
    for (uint32_t i = Below(4) + 1; i > 0; --i) ops.push_back(NextOp());
    return Ops(std::move(ops), kOwners[Below(4)]);
  }

 private:
  uint32_t Below(uint32_t n) { return random_() % n; }
  std::string PoolName() { return Below(2) == 0 ? "web" : "db"; }
  Address SomeAddress() { return At("10.0.0." + std::to_string(Below(6) + 1) + ":80"); }
  std::vector<BackendSpec> SomeBackends() {
    std::vector<BackendSpec> backends;
    for (uint32_t i = Below(4); i > 0; --i) {
      backends.push_back({.address = SomeAddress()});
      if (Below(2) == 0) backends.back().weight = Below(3);
      if (Below(4) == 0) backends.back().admin_state = AdminState::kDraining;
    }
    return backends;
  }

  Op SomeImport() {
    static const char* const kOwners[] = {"api:a", "api:b", "static", "ring:x"};
    ImportState state{.pools = {{.name = PoolName()}}, .replace_all = Below(2) == 0};
    for (uint32_t i = Below(3); i > 0; --i) {
      state.listeners.push_back({.name = "l" + std::to_string(i),
                                 .address = At("0.0.0.0:" + std::to_string(80 + Below(3))),
                                 .pool = PoolName()});
    }
    for (uint32_t i = Below(6); i > 0; --i) {
      ImportedBackend backend{.pool = PoolName(), .address = SomeAddress()};
      for (const char* owner : kOwners) {
        if (Below(2) == 0) continue;
        backend.claims.push_back({owner, {.address = backend.address, .weight = Below(3)}});
      }
      if (Below(3) == 0) backend.override = Override{.weight = Below(3)};
      state.backends.push_back(std::move(backend));
    }
    return {.op = std::move(state)};
  }

  Op NextOp() {
    switch (Below(8)) {
      case 0:
        return Pool(PoolName());
      case 1:
        return {.op = RemovePool{.pool = PoolName(), .force = Below(2) == 0}};
      case 2:
        return Listener("l" + std::to_string(Below(3)), "0.0.0.0:" + std::to_string(80 + Below(3)),
                        PoolName());
      case 3:
        return {.op = RemoveListener{"l" + std::to_string(Below(3))}};
      case 4:
        return Remove(PoolName(), {SomeAddress()}, Below(3) == 0);
      case 5:
        return Replace(PoolName(), SomeBackends());
      case 6:
        return Below(2) == 0
                   ? Impose(PoolName(), {SomeAddress()}, {.weight = Below(3)})
                   : Op{.op = SetOverride{
                            .pool = PoolName(), .selector = {.all = true}, .clear = true}};
      default:
        return Upsert(PoolName(), SomeBackends());
    }
  }

  std::mt19937 random_;
};

void ExpectSound(const DesiredState& state) {
  size_t backends = 0;
  for (const auto& [name, pool] : state.pools) {
    EXPECT_LE(pool->object->revision, state.revision);
    for (const auto& [address, backend] : pool->backends) {
      ++backends;
      ASSERT_FALSE(backend->claims.empty()) << "nobody says that it exists";
      EXPECT_EQ(backend->pool, name);
      EXPECT_EQ(backend->address, address);
      EXPECT_LE(backend->revision, pool->object->revision) << "the pool's follows";
      BackendObject merged = *backend;
      Merge(&merged);
      EXPECT_EQ(merged.effective, backend->effective);
      std::set<std::string> owners;
      for (const Claim& claim : backend->claims) {
        EXPECT_TRUE(owners.insert(claim.owner).second) << "one claim for each owner";
        EXPECT_LE(OwnerRank(backend->claims.front().owner), OwnerRank(claim.owner));
        EXPECT_EQ(claim.spec.address, address);
      }
    }
  }
  EXPECT_EQ(state.backend_count, backends);
  std::set<std::string> addresses;
  for (const auto& [name, listener] : state.listeners) {
    EXPECT_NE(state.FindPool(listener->spec.pool), nullptr) << "no listener leads nowhere";
    EXPECT_TRUE(addresses.insert(listener->spec.address.ToString()).second);
  }
}

// What differs between the two states is what the change says.
void ExpectExact(const DesiredState& before, const Change& change) {
  std::set<BackendKey> changed;
  const auto add_changed = [&](const DesiredState& one, const DesiredState& other) {
    for (const auto& [name, pool] : one.pools) {
      for (const auto& [address, backend] : pool->backends) {
        if (other.FindBackend(name, address) != backend.get()) changed.emplace(name, address);
      }
    }
  };
  add_changed(before, change.next);
  add_changed(change.next, before);
  EXPECT_TRUE(std::includes(change.backends.begin(), change.backends.end(), changed.begin(),
                            changed.end()));
  for (const BackendKey& key : changed) EXPECT_TRUE(change.pools.contains(key.first));
  for (const auto& [key, drain] : change.removals) {
    EXPECT_EQ(change.next.FindBackend(key.first, key.second), nullptr);
    EXPECT_TRUE(drain.timeout.has_value());
  }
  for (const BackendKey& key : changed) {
    const bool is_gone = change.next.FindBackend(key.first, key.second) == nullptr;
    EXPECT_EQ(change.removals.contains(key), is_gone);
  }
}

TEST(BatchPropertyTest, RandomBatchesKeepTheStateSound) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    RandomBatches batches(seed);
    DesiredState state;
    state.revision = 1;
    int accepted = 0;
    for (int i = 0; i < 300; ++i) {
      const DesiredState before = state;
      const absl::StatusOr<Change> change = ApplyBatch(state, batches.Next());
      // Whatever comes of it, the state itself is not written.
      ASSERT_EQ(state.revision, before.revision);
      ASSERT_EQ(state.pools, before.pools);
      ASSERT_EQ(state.listeners, before.listeners);
      if (!change.ok()) continue;
      ++accepted;
      EXPECT_EQ(change->next.revision, before.revision + (change->has_changed ? 1 : 0));
      EXPECT_TRUE(change->has_changed || change->next.pools == before.pools);
      ExpectExact(before, *change);
      state = change->next;
      ExpectSound(state);
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", batch " << i;
    }
    EXPECT_GT(accepted, 50) << "the batches are worth something";
  }
}

}  // namespace
}  // namespace sidelb::control
