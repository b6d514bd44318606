// What each mode promises, on random pools (decision 10): of 1 to 2 000 backends with weights of 0
// to 65 535, of which some are disabled, draining, ejected, unhealthy or full. Seeds are fixed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/pool/maglev.h"
#include "dataplane/pool/weights.h"
#include "tests/unit/dataplane/test_pool.h"

namespace sidelb {
namespace {

using testing::AddressOf;
using testing::TestPool;

constexpr Mode kModes[] = {Mode::kRoundRobin, Mode::kLeastConnections, Mode::kP2c,
                           Mode::kRandom,     Mode::kSourceHash,       Mode::kMaglev};
constexpr size_t kSizes[] = {1, 2, 3, 50, 400, 2'000};

// A pool of random backends and what the test knows of it, told apart without the code under test.
class RandomPool {
 public:
  RandomPool(uint32_t seed, size_t size) : random(seed), pool({}) {
    const uint64_t kind = Below(4);
    for (size_t i = 0; i < size; ++i) indexes_[pool.Add(DrawWeight(kind))] = i;
  }
  ~RandomPool() {
    for (size_t i = 0; i < pool.size(); ++i) pool.load.index.Detach(&pool[i]->load);
  }

  uint64_t Below(uint64_t n) { return random() % n; }

  // Some are disabled, draining, ejected, unhealthy, of unknown health.
  void Disturb() {
    for (Member& member : pool.members) {
      switch (Below(8)) {
        case 0:
          member.admin_state = AdminState::kDisabled;
          break;
        case 1:
          member.admin_state = AdminState::kDraining;
          break;
        case 2:
          member.is_ejected = true;
          break;
        case 3:
          member.health = Health::kUnhealthy;
          break;
        case 4:
          member.health = Health::kUnknown;
          break;
        default:
          break;
      }
    }
  }

  // Some have no place left.
  void FillSome() {
    for (Member& member : pool.members) {
      if (Below(4) == 0) Fill(&member);
    }
  }
  void Fill(Member* member) {
    member->max_connections = static_cast<uint32_t>(1 + Below(3));
    member->backend->load.active = member->max_connections;
  }

  // Builds a snapshot and does with the index what control does around a publication.
  std::shared_ptr<const PoolSnapshot> Publish(Mode mode) {
    auto snapshot = pool.Build(mode);
    for (size_t i = 0; i < pool.size(); ++i) pool.load.index.Detach(&pool[i]->load);
    if (mode != Mode::kLeastConnections) return snapshot;
    for (const Member& member : snapshot->eligible()) {
      pool.load.index.Put(&member.backend->load, member.weight, member.max_connections);
    }
    pool.load.index.Resync();
    return snapshot;
  }

  // A pick of a random client.
  PickResult Pick(const PoolSnapshot& snapshot) {
    const Address client = AddressOf(Below(1 << 24));
    return snapshot.Pick({.client = &client, .random = random()});
  }

  // Whether the member may serve while the best health of all is `best`.
  static bool MayServe(const Member& member, Health best) {
    return member.admin_state == AdminState::kEnabled && !member.is_ejected && member.weight > 0 &&
           member.health == best;
  }
  Health BestHealth() const {
    const bool any_healthy =
        std::any_of(pool.members.begin(), pool.members.end(),
                    [](const Member& member) { return MayServe(member, Health::kHealthy); });
    return any_healthy ? Health::kHealthy : Health::kUnknown;
  }
  static bool IsFull(const Member& member) {
    return member.max_connections != 0 &&
           member.backend->load.active.load() >= member.max_connections;
  }

  const Member& Of(const Backend* backend) const { return pool.members[IndexOf(backend)]; }
  size_t IndexOf(const Backend* backend) const { return indexes_.at(backend); }

 private:
  uint32_t DrawWeight(uint64_t kind) {
    switch (kind) {
      case 0:
        return 100;
      case 1:
        return static_cast<uint32_t>(Below(6));
      case 2:
        return static_cast<uint32_t>(Below(65'536));
      default:  // few heavy ones
        return static_cast<uint32_t>(Below(20) == 0 ? Below(65'536) : Below(50));
    }
  }

 public:
  std::mt19937_64 random;
  TestPool pool;

 private:
  std::unordered_map<const Backend*, size_t> indexes_;
};

TEST(ModePropertyTest, NoModePicksABackendThatMayNotServeOrIsFull) {
  int picked = 0, refused = 0;
  for (const Mode mode : kModes) {
    for (const size_t size : kSizes) {
      for (uint32_t seed = 1; seed <= 3; ++seed) {
        SCOPED_TRACE(fmt::format("{}, {} backends, seed {}", ModeName(mode), size, seed));
        RandomPool random(seed, size);
        random.Disturb();
        random.FillSome();
        const Health best = random.BestHealth();
        const auto has_place = [&](const Member& member) {
          return RandomPool::MayServe(member, best) && !RandomPool::IsFull(member);
        };
        const std::vector<Member>& members = random.pool.members;
        const bool is_any = std::any_of(members.begin(), members.end(), has_place);
        const auto snapshot = random.Publish(mode);
        for (int i = 0; i < 100; ++i) {
          const PickResult result = random.Pick(*snapshot);
          ASSERT_EQ(result.backend != nullptr, is_any);
          if (result.backend == nullptr) {
            ++refused;
            continue;
          }
          ++picked;
          const Member& member = random.Of(result.backend);
          Release(&result.backend->load);
          ASSERT_TRUE(has_place(member)) << "backend " << random.IndexOf(result.backend);
        }
      }
    }
  }
  EXPECT_GT(picked, 8'000);
  EXPECT_GT(refused, 300);
}

TEST(ModePropertyTest, EachModeFindsTheOnlyBackendThatMayServe) {
  for (const Mode mode : kModes) {
    for (const size_t size : kSizes) {
      for (uint32_t seed = 1; seed <= 2; ++seed) {
        SCOPED_TRACE(fmt::format("{}, {} backends, seed {}", ModeName(mode), size, seed));
        RandomPool random(seed, size);
        random.Disturb();
        for (Member& member : random.pool.members) {
          // Half of the pools are full, in the others most are out of service.
          if (seed % 2 == 0 || RandomPool::MayServe(member, Health::kHealthy)) random.Fill(&member);
        }
        Member& only = random.pool.members[random.Below(size)];
        only.admin_state = AdminState::kEnabled;
        only.health = Health::kHealthy;
        only.is_ejected = false;
        only.weight = 1;
        only.max_connections = 0;
        const auto snapshot = random.Publish(mode);
        for (int i = 0; i < 20; ++i) ASSERT_EQ(random.Pick(*snapshot).backend, only.backend);
      }
    }
  }
}

TEST(ModePropertyTest, RoundRobinIsExactInEveryRoundOfW) {
  for (const size_t size : kSizes) {
    for (uint32_t seed = 1; seed <= 6; ++seed) {
      SCOPED_TRACE(fmt::format("{} backends, seed {}", size, seed));
      RandomPool random(seed, size);
      // Full-range weights only where a round stays short.
      const uint64_t most = std::max<uint64_t>(1, std::min<uint64_t>(65'535, 60'000 / size));
      const auto unit = static_cast<uint32_t>(1 + random.Below(65'535 / most));
      for (Member& member : random.pool.members) {
        member.weight = unit * static_cast<uint32_t>(random.Below(most + 1));
      }
      random.Disturb();
      random.pool.members[0] = {.address = AddressOf(0),
                                .weight = unit,
                                .backend = random.pool[0],
                                .health = Health::kHealthy};
      uint64_t divisor = 0, total = 0;
      for (const Member& member : random.pool.members) {
        if (RandomPool::MayServe(member, Health::kHealthy)) {
          divisor = std::gcd(divisor, uint64_t{member.weight});
          total += member.weight;
        }
      }
      const auto snapshot = random.Publish(Mode::kRoundRobin);
      random.pool.load.cursor = random.Below(uint64_t{1} << 40);
      for (uint64_t i = 0; i < total / divisor; ++i) random.Pick(*snapshot);
      for (const Member& member : random.pool.members) {
        const bool serves = RandomPool::MayServe(member, Health::kHealthy);
        ASSERT_EQ(member.backend->load.active, serves ? member.weight / divisor : 0);
      }
    }
  }
}

// Expects that `counts` of `picks` follow the weights: each within four sigma in small pools; in
// large ones, of which some of many must lie further out, the chi-square of all.
void ExpectFollowsWeights(const RandomPool& random, const std::vector<uint64_t>& counts,
                          double picks) {
  double total = 0;
  for (const Member& member : random.pool.members) total += member.weight;
  double chi_square = 0, degrees = -1, rest_expected = 0, rest_count = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double share = random.pool.members[i].weight / total;
    const double expected = picks * share;
    const auto count = static_cast<double>(counts[i]);
    if (counts.size() <= 50) {
      ASSERT_NEAR(count, expected, 4 * std::sqrt(expected * (1 - share)) + 1e-9) << "backend " << i;
    }
    if (expected < 10) {
      rest_expected += expected;
      rest_count += count;
      continue;
    }
    chi_square += (count - expected) * (count - expected) / expected;
    ++degrees;
  }
  if (rest_expected > 10) {
    chi_square += (rest_count - rest_expected) * (rest_count - rest_expected) / rest_expected;
    ++degrees;
  }
  if (degrees < 30) return;
  ASSERT_NEAR(chi_square, degrees, 4 * std::sqrt(2 * degrees));
}

TEST(ModePropertyTest, RandomAndP2cWithEqualLoadsHoldTheWeightsWithinFourSigma) {
  for (const Mode mode : {Mode::kRandom, Mode::kP2c}) {
    for (const size_t size : kSizes) {
      for (uint32_t seed = 1; seed <= 4; ++seed) {
        SCOPED_TRACE(fmt::format("{}, {} backends, seed {}", ModeName(mode), size, seed));
        RandomPool random(seed, size);
        random.pool.members[0].weight += 1;  // at least one serves
        const auto snapshot = random.Publish(mode);
        std::vector<uint64_t> counts(size);
        const int picks = 40'000;
        for (int i = 0; i < picks; ++i) {
          Backend* const backend = snapshot->Pick({.random = random.random()}).backend;
          ASSERT_NE(backend, nullptr);
          Release(&backend->load);
          ++counts[random.IndexOf(backend)];
        }
        ExpectFollowsWeights(random, counts, picks);
      }
    }
  }
}

// The slots that each member should have: its share, but at least one, which the others pay for.
std::vector<double> FairSlots(absl::Span<const Member> members, double slots) {
  std::vector<bool> is_least(members.size());
  double weight = 0;
  for (const Member& member : members) weight += member.weight;
  for (bool is_settled = false; !is_settled;) {
    is_settled = true;
    const double slots_before = slots, weight_before = weight;
    for (size_t i = 0; i < members.size(); ++i) {
      if (is_least[i] || slots_before * members[i].weight >= weight_before) continue;
      is_least[i] = true;
      slots -= 1;
      weight -= members[i].weight;
      is_settled = false;
    }
  }
  std::vector<double> fair(members.size(), 1);
  for (size_t i = 0; i < members.size(); ++i) {
    if (!is_least[i]) fair[i] = slots * members[i].weight / weight;
  }
  return fair;
}

TEST(ModePropertyTest, MaglevGivesEachBackendItsShareOfSlotsWithinOne) {
  for (const size_t size : kSizes) {
    for (uint32_t seed = 1; seed <= 3; ++seed) {
      SCOPED_TRACE(fmt::format("{} backends, seed {}", size, seed));
      RandomPool random(seed, size);
      random.Disturb();
      const auto snapshot = random.Publish(Mode::kMaglev);
      const auto eligible = snapshot->eligible();
      if (eligible.empty()) continue;
      const MaglevPicker picker(eligible, size);
      std::vector<double> slots(eligible.size());
      for (uint32_t index : picker.table()) ++slots[index];
      const std::vector<double> fair =
          FairSlots(eligible, static_cast<double>(picker.table().size()));
      for (size_t i = 0; i < slots.size(); ++i) ASSERT_NEAR(slots[i], fair[i], 1) << i;
    }
  }
}

TEST(ModePropertyTest, FewMaglevClientsMoveWhenAnyBackendLeaves) {
  for (const size_t size : {2u, 3u, 10u, 100u, 500u, 2'000u}) {
    for (uint32_t seed = 1; seed <= 2; ++seed) {
      SCOPED_TRACE(fmt::format("{} backends, seed {}", size, seed));
      RandomPool random(seed, size);
      std::vector<Member>& members = random.pool.members;
      double total = 0;
      for (Member& member : members) total += ++member.weight;
      const MaglevPicker before(members);
      const size_t leaving = random.Below(size);
      std::vector<Member> rest = members;
      rest.erase(rest.begin() + static_cast<ptrdiff_t>(leaving));
      const MaglevPicker after(rest);
      ASSERT_EQ(after.table().size(), before.table().size());
      double moved = 0;
      for (size_t slot = 0; slot < before.table().size(); ++slot) {
        moved += members[before.table()[slot]].backend != rest[after.table()[slot]].backend;
      }
      const double share =
          std::max(1.0 / static_cast<double>(size), members[leaving].weight / total);
      EXPECT_LE(moved / static_cast<double>(before.table().size()), share + 0.015);
    }
  }
}

TEST(ModePropertyTest, MaglevAndSourceHashAreOneAndKeepAClientAtItsBackend) {
  for (const size_t size : kSizes) {
    RandomPool random(5, size);
    random.Disturb();
    const auto maglev = random.Publish(Mode::kMaglev);
    const auto source_hash = random.Publish(Mode::kSourceHash);
    for (int i = 0; i < 200; ++i) {
      const Address client = AddressOf(random.Below(1 << 24)).WithPort(1'000);
      const Address later = client.WithPort(2'000);
      Backend* const backend = maglev->Pick({.client = &client}).backend;
      ASSERT_EQ(source_hash->Pick({.client = &client}).backend, backend);
      ASSERT_EQ(maglev->Pick({.client = &later}).backend, backend);
    }
  }
}

TEST(ModePropertyTest, LeastConnectionsAlwaysPicksAMinimumOfActiveByWeight) {
  for (const bool is_indexed : {true, false}) {
    for (const size_t size : kSizes) {
      for (uint32_t seed = 1; seed <= 4; ++seed) {
        SCOPED_TRACE(fmt::format("{} backends, seed {}, index {}", size, seed, is_indexed));
        RandomPool random(seed, size);
        random.Disturb();
        random.FillSome();
        for (Member& member : random.pool.members) {
          if (member.max_connections == 0) {
            member.backend->load.active = static_cast<uint32_t>(random.Below(40));
          }
        }
        const auto snapshot = random.Publish(Mode::kLeastConnections);
        if (!is_indexed) {
          for (size_t i = 0; i < size; ++i) random.pool.load.index.Detach(&random.pool[i]->load);
        }
        for (int i = 0; i < 200; ++i) {
          uint64_t active = 0, weight = 0;  // the least
          for (const Member& member : snapshot->eligible()) {
            if (RandomPool::IsFull(member)) continue;
            const uint64_t one = member.backend->load.active;
            if (weight == 0 || one * weight < active * member.weight) {
              active = one;
              weight = member.weight;
            }
          }
          Backend* const picked = random.Pick(*snapshot).backend;
          ASSERT_EQ(picked != nullptr, weight != 0);
          if (picked != nullptr) {
            const Member& member = random.Of(picked);
            ASSERT_EQ((picked->load.active - 1) * weight, active * member.weight);
          }
          // Sessions end in between.
          const Member& other = random.pool.members[random.Below(size)];
          if (other.backend->load.active > 0) Release(&other.backend->load);
        }
      }
    }
  }
}

TEST(ModePropertyTest, SwitchingModesKeepsTheCountsAndTheRound) {
  for (const size_t size : kSizes) {
    for (uint32_t seed = 1; seed <= 2; ++seed) {
      SCOPED_TRACE(fmt::format("{} backends, seed {}", size, seed));
      RandomPool random(seed, size);
      random.pool.members[0].weight += 1;
      std::vector<Backend*> sessions;
      uint64_t rounds = 0;  // picks that round-robin made
      for (int i = 0; i < 8; ++i) {
        const Mode mode = kModes[random.Below(std::size(kModes))];
        const auto snapshot = random.Publish(mode);
        for (int pick = 0; pick < 50; ++pick) {
          if (random.Below(3) == 0 && !sessions.empty()) {
            std::swap(sessions[random.Below(sessions.size())], sessions.back());
            Release(&sessions.back()->load);
            sessions.pop_back();
            continue;
          }
          sessions.push_back(random.Pick(*snapshot).backend);
          ASSERT_NE(sessions.back(), nullptr);
          rounds += mode == Mode::kRoundRobin;
        }
        std::vector<uint32_t> counts(size);
        for (const Backend* backend : sessions) ++counts[random.IndexOf(backend)];
        for (size_t k = 0; k < size; ++k) ASSERT_EQ(random.pool[k]->load.active, counts[k]);
        ASSERT_EQ(random.pool.load.cursor, rounds) << "the next round goes on where it stood";
      }
      for (Backend* backend : sessions) Release(&backend->load);
      for (size_t k = 0; k < size; ++k) ASSERT_EQ(random.pool[k]->load.active, 0u);
    }
  }
}

}  // namespace
}  // namespace sidelb
