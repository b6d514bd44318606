// Random batches against the desired state and against a second implementation of its rules that
// is as simple as can be: a list of claims, searched from end to end. Both have to agree after
// each.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <random>
#include <set>

#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

struct NaiveClaim {
  std::string pool, owner;
  Address address;
  std::optional<uint32_t> weight;
  bool is_expired = false, drains = false;
};
struct NaiveOverride {
  std::string pool;
  Address address;
  AdminState state;
  absl::Time end, kept_until;  // InfiniteFuture(): it has none; it is not absent
};

// What is known, and how each op changes it.
class Naive {
 public:
  const NaiveClaim* Find(const std::string& pool, const Address& address,
                         const std::string& owner) const {
    for (const NaiveClaim& claim : claims_) {
      if (claim.pool == pool && claim.address == address && claim.owner == owner) return &claim;
    }
    return nullptr;
  }
  bool Exists(const std::string& pool, const Address& address) const {
    return std::any_of(claims_.begin(), claims_.end(), [&](const NaiveClaim& claim) {
      return claim.pool == pool && claim.address == address;
    });
  }
  size_t Count() const {
    std::set<std::pair<std::string, std::string>> keys;
    for (const NaiveClaim& claim : claims_) keys.emplace(claim.pool, claim.address.ToString());
    return keys.size();
  }

  void Put(const std::string& pool, const std::string& owner, const BackendSpec& spec,
           absl::Time now) {
    if (!Exists(pool, spec.address)) {
      std::erase_if(overrides_, [&](const NaiveOverride& one) {
        return one.pool == pool && one.address == spec.address && one.kept_until <= now;
      });
      for (NaiveOverride& one : overrides_) {
        if (one.pool == pool && one.address == spec.address) {
          one.kept_until = absl::InfiniteFuture();
        }
      }
    }
    for (NaiveClaim& claim : claims_) {
      if (claim.pool != pool || claim.address != spec.address || claim.owner != owner) continue;
      claim.weight = spec.weight;
      claim.is_expired = claim.drains = false;
      return;
    }
    claims_.push_back(
        {.pool = pool, .owner = owner, .address = spec.address, .weight = spec.weight});
  }
  void Drop(const std::string& pool, const Address& address, const std::string& owner,
            bool keeps_override, absl::Time now) {
    const bool existed = Exists(pool, address);
    std::erase_if(claims_, [&](const NaiveClaim& claim) {
      return claim.pool == pool && claim.address == address &&
             (owner.empty() || claim.owner == owner);
    });
    if (Exists(pool, address) || (!existed && keeps_override)) return;
    for (NaiveOverride& one : overrides_) {
      if (one.pool != pool || one.address != address) continue;
      one.kept_until =
          keeps_override ? std::min(now + kKeepAbsentOverrides, one.end) : absl::InfinitePast();
    }
    std::erase_if(overrides_, [&](const NaiveOverride& one) { return one.kept_until <= now; });
  }
  std::vector<Address> Of(const std::string& pool, const std::string& owner) const {
    std::vector<Address> addresses;
    for (const NaiveClaim& claim : claims_) {
      if (claim.pool == pool && claim.owner == owner) addresses.push_back(claim.address);
    }
    return addresses;
  }
  void Impose(const std::string& pool, const Address& address, std::optional<AdminState> state,
              absl::Time end) {
    std::erase_if(overrides_, [&](const NaiveOverride& one) {
      return one.pool == pool && one.address == address;
    });
    if (!state.has_value()) return;
    overrides_.push_back({pool, address, *state, end, absl::InfiniteFuture()});
  }
  void Expire(absl::Time now) {
    std::erase_if(overrides_, [&](const NaiveOverride& one) {
      return one.end <= now && one.kept_until == absl::InfiniteFuture();
    });
  }
  void Lapse(const std::string& owner, LeaseEffect effect, absl::Time now) {
    if (effect == LeaseEffect::kRemove) {
      for (const char* pool : {"web", "db"}) {
        for (const Address& address : Of(pool, owner)) Drop(pool, address, owner, true, now);
      }
    }
    for (NaiveClaim& claim : claims_) {
      if (claim.owner != owner) continue;
      claim.is_expired = effect != LeaseEffect::kTakeBack;
      claim.drains = effect == LeaseEffect::kDrain;
    }
  }

  // The claim in force: not drained before drained, api before the rest, the oldest.
  const NaiveClaim& InForce(const std::string& pool, const Address& address) const {
    const NaiveClaim* best = nullptr;
    for (const NaiveClaim& claim : claims_) {  // the oldest stand first
      if (claim.pool != pool || claim.address != address) continue;
      if (best == nullptr || std::pair(claim.drains, OwnerRank(claim.owner)) <
                                 std::pair(best->drains, OwnerRank(best->owner))) {
        best = &claim;
      }
    }
    return *best;
  }
  AdminState StateOf(const std::string& pool, const Address& address) const {
    for (const NaiveOverride& one : overrides_) {
      if (one.pool == pool && one.address == address) return one.state;
    }
    return InForce(pool, address).drains ? AdminState::kDraining : AdminState::kEnabled;
  }
  size_t ClaimsOf(const std::string& pool, const Address& address) const {
    return static_cast<size_t>(std::count_if(
        claims_.begin(), claims_.end(),
        [&](const NaiveClaim& claim) { return claim.pool == pool && claim.address == address; }));
  }

 private:
  std::vector<NaiveClaim> claims_;
  std::vector<NaiveOverride> overrides_;
};

class StateModelTest : public ::testing::Test {
 protected:
  StateModelTest() {
    state_.revision = 1;
    Take(ApplyBatch(state_, Ops({Pool("web"), Pool("db")}), now_));
  }
  uint32_t Below(uint32_t n) { return random_() % n; }
  std::string Owner() {
    static const char* const kOwners[] = {"api:a", "api:b", "static", "ring:x"};
    return kOwners[Below(4)];
  }
  std::string PoolName() { return Below(2) == 0 ? "web" : "db"; }
  Address Somewhere() { return addresses_[Below(8)]; }
  std::vector<BackendSpec> Backends() {
    std::vector<BackendSpec> backends;
    for (const Address& address : addresses_) {
      if (Below(3) != 0) continue;
      backends.push_back({.address = address});
      if (Below(2) == 0) backends.back().weight = Below(5);
    }
    return backends;
  }
  void Take(absl::StatusOr<Change> change) {
    ASSERT_TRUE(change.ok()) << change.status();
    state_ = std::move(change->next);
  }

  void Step() {
    now_ += absl::Seconds(Below(120));
    const std::string pool = PoolName(), owner = Owner();
    switch (Below(9)) {
      case 0:
      case 1: {
        const auto backends = Backends();
        Take(ApplyBatch(state_, Ops({Upsert(pool, backends)}, owner), now_));
        for (const BackendSpec& spec : backends) naive_.Put(pool, owner, spec, now_);
        return;
      }
      case 2:
      case 3: {
        const auto backends = Backends();
        Take(ApplyBatch(state_, Ops({Replace(pool, backends)}, owner), now_));
        for (const Address& address : naive_.Of(pool, owner)) {
          const bool stays = std::any_of(backends.begin(), backends.end(),
                                         [&](const auto& spec) { return spec.address == address; });
          if (!stays) naive_.Drop(pool, address, owner, /*keeps_override=*/true, now_);
        }
        for (const BackendSpec& spec : backends) naive_.Put(pool, owner, spec, now_);
        return;
      }
      case 4: {
        const Address address = Somewhere();
        const bool is_any = Below(2) == 0;
        Take(ApplyBatch(state_, Ops({Remove(pool, {address}, is_any)}, owner), now_));
        naive_.Drop(pool, address, is_any ? "" : owner, /*keeps_override=*/false, now_);
        return;
      }
      case 5:
      case 6: {
        const Address address = Somewhere();
        if (!naive_.Exists(pool, address)) return;
        const std::optional<AdminState> state =
            Below(3) == 0 ? std::nullopt : std::optional(static_cast<AdminState>(Below(3)));
        SetOverride set{.pool = pool, .selector = {.addresses = {address}}, .clear = true};
        set.override.admin_state = state;
        absl::Time end = absl::InfiniteFuture();
        if (state.has_value() && Below(2) == 0) {
          set.override.ttl = absl::Minutes(1 + Below(20));
          end = now_ + *set.override.ttl;
        }
        Take(ApplyBatch(state_, Ops({{.op = set}}), now_));
        naive_.Impose(pool, address, state, end);
        return;
      }
      case 7:
        Take(ExpireOverrides(state_, now_));
        naive_.Expire(now_);
        return;
      default: {
        const auto effect = static_cast<LeaseEffect>(Below(4));
        Take(ApplyLease(state_, owner, effect, now_));
        naive_.Lapse(owner, effect, now_);
      }
    }
  }

  void Compare() {
    ASSERT_EQ(state_.backend_count, naive_.Count());
    for (const char* pool : {"web", "db"}) {
      for (const Address& address : addresses_) {
        const BackendObject* backend = state_.FindBackend(pool, address);
        ASSERT_EQ(backend != nullptr, naive_.Exists(pool, address));
        if (backend == nullptr) continue;
        const NaiveClaim& claim = naive_.InForce(pool, address);
        ASSERT_EQ(backend->claims.size(), naive_.ClaimsOf(pool, address));
        ASSERT_EQ(backend->claims.front().owner, claim.owner);
        ASSERT_EQ(backend->effective.weight, claim.weight);
        ASSERT_EQ(backend->claims.front().lease_expired, claim.is_expired);
        ASSERT_EQ(EffectiveAdminState(backend->effective), naive_.StateOf(pool, address));
      }
    }
  }

  std::mt19937 random_{20260101};
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  DesiredState state_;
  Naive naive_;
  std::vector<Address> addresses_ = [] {
    std::vector<Address> all;
    for (int i = 1; i <= 8; ++i) all.push_back(At("10.0.0." + std::to_string(i) + ":80"));
    return all;
  }();
};

// SIDELB_MODEL_STEPS=1000000 for a long run.
TEST_F(StateModelTest, RandomEditsAgreeWithTheSimplestImplementation) {
  const char* steps = std::getenv("SIDELB_MODEL_STEPS");
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int kSteps = 10'000;  // each takes ten times as long
#else
  constexpr int kSteps = 100'000;
#endif
  const int count = steps == nullptr ? kSteps : std::atoi(steps);
  for (int step = 0; step < count; ++step) {
    Step();
    Compare();
    ASSERT_FALSE(HasFailure()) << "step " << step;
  }
}

}  // namespace
}  // namespace sidelb::control
