#include "server/control/snapshot_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "fmt/format.h"
#include "server/providers/static_provider.h"
#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

using ::testing::ElementsAre;

class SnapshotBuilderTest : public ::testing::Test {
 protected:
  SnapshotBuilderTest() { Apply(Ops({Pool("web", Mode::kLeastConnections)})); }

  void Apply(const ApplyRequest& request) {
    absl::StatusOr<Change> change = ApplyBatch(state_, request);
    ASSERT_TRUE(change.ok()) << change.status();
    state_ = change->next;
  }
  std::shared_ptr<const PoolSnapshot> Build() {
    const DesiredPool& pool = *state_.FindPool("web");
    OrderedMembers ordered = OrderMembers(pool, [this](const BackendObject& object) {
      const Address& address = object.address;
      auto& backend = backends_[address];
      if (backend == nullptr) backend = std::make_unique<Backend>(address, 1);
      const auto observed = observed_.find(address);
      return Observed{.backend = backend.get(),
                      .health = observed == observed_.end() ? Health::kUnknown : observed->second,
                      .weight = EffectiveWeight(object.effective)};
    });
    EXPECT_TRUE(std::is_sorted(ordered.orders.begin(), ordered.orders.end()));
    EXPECT_EQ(ordered.orders.size(), ordered.members.size());
    const auto snapshot = PrepareSnapshot(7, pool.object->spec, &load_, std::move(ordered.members));
    snapshot->MakePicker();
    return snapshot;
  }
  static std::vector<std::string> AddressesOf(absl::Span<const Member> members) {
    std::vector<std::string> addresses;
    for (const Member& member : members) addresses.push_back(member.address.ToString());
    return addresses;
  }

  DesiredState state_;
  PoolLoad load_{1};
  std::map<Address, std::unique_ptr<Backend>> backends_;
  std::map<Address, Health> observed_;
};

TEST_F(SnapshotBuilderTest, MembersStandInTheOrderInWhichTheyWereAdded) {
  Apply(Ops({Upsert("web", {B("10.0.0.9:80"), B("10.0.0.1:80")})}));
  Apply(Ops({Upsert("web", {B("10.0.0.5:80")})}, "static"));
  Apply(Ops({Upsert("web", {B("10.0.0.9:80", 5)})}));  // an update keeps its place
  const auto snapshot = Build();
  EXPECT_THAT(AddressesOf(snapshot->members()),
              ElementsAre("10.0.0.9:80", "10.0.0.1:80", "10.0.0.5:80"));
  EXPECT_EQ(snapshot->id(), 7u);
  EXPECT_EQ(snapshot->mode(), Mode::kLeastConnections);
  EXPECT_EQ(snapshot->load(), &load_);
}

TEST_F(SnapshotBuilderTest, DefaultsClaimsAndOverridesComeTogether) {
  BackendSpec limited = B("10.0.0.1:80", 10);
  limited.max_connections = 3;
  Apply(Ops({Upsert("web", {limited, B("10.0.0.2:80"), B("10.0.0.3:80", 10)})}));
  Apply(Ops(
      {Impose("web", {At("10.0.0.3:80")}, {.admin_state = AdminState::kDraining, .weight = 77})}));
  const auto snapshot = Build();
  ASSERT_EQ(snapshot->members().size(), 3u);
  const Member& first = snapshot->members()[0];
  EXPECT_EQ(first.weight, 10u);
  EXPECT_EQ(first.max_connections, 3u);
  EXPECT_EQ(first.admin_state, AdminState::kEnabled);
  EXPECT_EQ(snapshot->members()[1].weight, kDefaultWeight);
  const Member& third = snapshot->members()[2];
  EXPECT_EQ(third.weight, 77u);
  EXPECT_EQ(third.admin_state, AdminState::kDraining);
  EXPECT_EQ(third.backend->address(), At("10.0.0.3:80"));
  EXPECT_THAT(AddressesOf(snapshot->eligible()), ElementsAre("10.0.0.1:80", "10.0.0.2:80"));
}

TEST_F(SnapshotBuilderTest, WhatIsObservedDecidesWhoServes) {
  Apply(Ops({Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80"), B("10.0.0.3:80")})}));
  observed_[At("10.0.0.2:80")] = Health::kHealthy;
  observed_[At("10.0.0.3:80")] = Health::kUnhealthy;
  EXPECT_THAT(AddressesOf(Build()->eligible()), ElementsAre("10.0.0.2:80"));
}

TEST_F(SnapshotBuilderTest, AnEmptyPoolHasASnapshotToo) {
  EXPECT_TRUE(Build()->members().empty());
  EXPECT_EQ(Build()->Pick({}).error, PickError::kNoBackend);
}

// Edits of a few backends at a time: what is mended is what is built anew.
TEST_F(SnapshotBuilderTest, MendedMembersAreThoseThatAreBuiltAnew) {
  std::mt19937 random(11);
  OrderedMembers mended;
  std::map<Address, std::optional<uint64_t>> orders;
  const auto any = [&random](size_t below) { return random() % below; };
  const auto address = [&] { return fmt::format("10.0.0.{}:80", 1 + any(40)); };
  const auto observe = [](const BackendObject& object) {
    return Observed{.weight = EffectiveWeight(object.effective)};
  };
  for (int step = 0; step < 2'000; ++step) {
    const std::string owner = any(3) == 0 ? "static" : "api:test";
    std::vector<Op> ops;
    switch (any(5)) {
      case 0:
      case 1:
        ops = {Upsert("web", {B(address(), 1 + static_cast<uint32_t>(any(9)))})};
        break;
      case 2:
        ops = {Remove("web", {At(address())})};
        break;
      case 3:  // comes to stand behind all others
        ops = {Remove("web", {At("10.0.0.1:80")})};
        Apply(Ops(ops, owner));
        orders[At("10.0.0.1:80")];
        ops = {Upsert("web", {B("10.0.0.1:80")})};
        break;
      default:
        ops = {Impose("web", {At(address())}, {.weight = static_cast<uint32_t>(any(100))})};
    }
    const absl::StatusOr<Change> change = ApplyBatch(state_, Ops(ops, owner));
    if (!change.ok()) continue;  // no such backend
    std::vector<Address> dirty = {At("10.0.0.1:80"), At("10.9.9.9:80")};
    for (const auto& [pool, changed] : change->backends) {
      orders[changed];
      dirty.insert(dirty.end(), {changed, changed});
    }
    state_ = change->next;
    const auto order_of = [&](const Address& at) {
      const auto found = orders.find(at);
      return found == orders.end() ? nullptr : &found->second;
    };
    const DesiredPool& pool = *state_.FindPool("web");
    ASSERT_TRUE(MendMembers(pool, dirty, order_of, observe, &mended)) << "step " << step;
    const OrderedMembers built = OrderMembers(pool, observe);
    ASSERT_EQ(mended.orders, built.orders) << "step " << step;
    ASSERT_EQ(AddressesOf(mended.members), AddressesOf(built.members)) << "step " << step;
    for (size_t i = 0; i < built.members.size(); ++i) {
      ASSERT_EQ(mended.members[i].weight, built.members[i].weight) << "step " << step;
    }
  }
  EXPECT_GT(mended.members.size(), 5u);
}

TEST_F(SnapshotBuilderTest, OrdersOfOtherMembersAreNoticed) {
  Apply(Ops({Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80")})}));
  const DesiredPool& pool = *state_.FindPool("web");
  const auto observe = [](const BackendObject&) { return Observed{}; };
  OrderedMembers ordered = OrderMembers(pool, observe);
  std::optional<uint64_t> wrong = ordered.orders[1];
  const auto order_of = [&](const Address&) { return &wrong; };
  EXPECT_FALSE(MendMembers(pool, {{At("10.0.0.1:80")}}, order_of, observe, &ordered));
}

TEST(StaticProviderTest, ArgumentsBecomeAListenerAPoolAndItsBackends) {
  const ApplyRequest request =
      providers::MakeStaticRequest({.bind = At("127.0.0.1:8080"),
                                    .mode = Mode::kLeastConnections,
                                    .backends = {At("10.0.0.2:80"), At("10.0.0.1:80")}});
  const absl::StatusOr<Change> change = ApplyBatch(DesiredState{}, request);
  ASSERT_TRUE(change.ok()) << change.status();
  const DesiredState& state = change->next;
  EXPECT_EQ(state.FindListener("default")->spec.address, At("127.0.0.1:8080"));
  EXPECT_EQ(state.FindListener("default")->spec.pool, "default");
  EXPECT_EQ(EffectiveMode(state.FindPool("default")->object->spec), Mode::kLeastConnections);
  ASSERT_NE(state.FindBackend("default", At("10.0.0.1:80")), nullptr);
  EXPECT_EQ(state.FindBackend("default", At("10.0.0.1:80"))->claims[0].owner, "static");
  EXPECT_EQ(state.backend_count, 2u);
}

}  // namespace
}  // namespace sidelb::control
