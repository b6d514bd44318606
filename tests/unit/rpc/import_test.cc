// What is exported and imported again is the same, whatever it was and whatever was there.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <utility>

#include "server/control/batch.h"
#include "server/control/errors.h"
#include "server/rpc/convert_request.h"
#include "server/rpc/convert_state.h"
#include "server/rpc/supported_fields.h"
#include "tests/unit/rpc/filled_message.h"

namespace sidelb::rpc {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

// As VIEW_CONFIG has it, in the order of the pools' backends, without what the server owns and
// without what DNS says.
pb::State Export(const control::DesiredState& state) {
  pb::State exported;
  for (const auto& [name, listener] : state.listeners) {
    *exported.add_listeners() = ToProto({.object = listener}, StateDetail::kConfig);
    exported.mutable_listeners()->rbegin()->clear_revision();
  }
  for (const auto& [name, pool] : state.pools) {
    *exported.add_pools() = ToProto({.object = pool->object}, StateDetail::kConfig);
    exported.mutable_pools()->rbegin()->clear_revision();
    std::vector<pb::Backend> backends;
    for (const auto& [address, backend] : pool->backends) {
      backends.push_back(ToProto({.object = backend}, StateDetail::kConfig));
    }
    const auto oldest = [](const pb::Backend& backend) {
      uint64_t order = UINT64_MAX;
      for (const pb::Claim& claim : backend.claims()) order = std::min(order, claim.order());
      return order;
    };
    std::sort(backends.begin(), backends.end(),
              [&](const auto& a, const auto& b) { return oldest(a) < oldest(b); });
    for (pb::Backend& backend : backends) {
      backend.clear_revision();
      backend.mutable_override()->clear_set_by();
      if (backend.override().ByteSizeLong() == 0) backend.clear_override();
      pb::Backend kept = backend;
      kept.clear_claims();
      for (pb::Claim& claim : *backend.mutable_claims()) {
        if (claim.owner().starts_with("ring:")) continue;
        claim.clear_revision();
        claim.clear_order();
        *kept.add_claims() = std::move(claim);
      }
      if (!kept.claims().empty()) *exported.add_backends() = std::move(kept);
    }
  }
  return exported;
}

// Which sorts maps.
std::string Text(const pb::State& state) { return state.DebugString(); }

absl::StatusOr<control::Change> Import(const control::DesiredState& into, const pb::State& state,
                                       bool replace_all) {
  pb::ApplyRequest request;
  request.set_owner("api:importer");
  *request.add_ops()->mutable_import_state()->mutable_state() = state;
  request.mutable_ops(0)->mutable_import_state()->set_replace_all(replace_all);
  if (const absl::Status status = CheckWrite(request); !status.ok()) return status;
  const auto model = FromProto(request);
  if (!model.ok()) return model.status();
  return control::ApplyBatch(into, *model, kNow);
}

class RandomEdits {
 public:
  explicit RandomEdits(uint32_t seed) : random_(seed) {}

  // Applies some that are accepted, of several owners.
  void Edit(control::DesiredState* state) {
    for (int i = 0; i < 40; ++i) {
      const auto change = control::ApplyBatch(*state, Next(), kNow);
      if (change.ok()) *state = change->next;
    }
  }

 private:
  uint32_t Below(uint32_t n) { return random_() % n; }
  std::string PoolName() { return "pool-" + std::to_string(Below(3)); }
  Address SomeAddress() {
    return *Address::Parse("10.0.0." + std::to_string(Below(8) + 1) + ":80");
  }

  control::BackendSpec SomeBackend() {
    control::BackendSpec spec{.address = SomeAddress()};
    if (Below(2) == 0) spec.weight = Below(1'000);
    if (Below(3) == 0) spec.tags = {{"k", std::to_string(Below(9))}, {"l", ""}};
    if (Below(3) == 0) spec.zone = "z" + std::to_string(Below(3));
    if (Below(4) == 0) spec.priority = Below(8);
    if (Below(4) == 0) spec.max_connections = Below(9);
    if (Below(4) == 0) spec.admin_state = AdminState::kDraining;
    if (Below(5) == 0) spec.probe_address = *Address::Parse("127.0.0.1:81");
    return spec;
  }

  control::ApplyRequest Next() {
    static const char* const kOwners[] = {"api:a", "api:b", "api:c", "static", "ring:w.example"};
    control::ApplyRequest request{.owner = kOwners[Below(5)], .is_provider = true};
    control::Op op;
    switch (Below(7)) {
      case 0:
        op.op = control::PutPool{.spec = {.name = PoolName(),
                                          .mode = static_cast<Mode>(Below(3)),
                                          .group_by_ip = Below(2) == 0,
                                          .slow_start = absl::Milliseconds(Below(900) + 100)}};
        break;
      case 1:
        op.op = control::PutListener{
            .spec = {.name = "l" + std::to_string(Below(4)),
                     .address = *Address::Parse("0.0.0.0:" + std::to_string(80 + Below(9))),
                     .pool = PoolName(),
                     .idle_timeout = absl::Nanoseconds(1'000'001 + Below(99))}};
        break;
      case 2:
        op.op = control::RemovePool{.pool = PoolName(), .force = Below(8) == 0};
        break;
      case 3:
        op.op = control::RemoveBackends{
            .pool = PoolName(), .addresses = {SomeAddress()}, .any_owner = Below(3) == 0};
        break;
      case 4:
        op.op = control::SetOverride{
            .pool = PoolName(),
            .selector = {.addresses = {SomeAddress()}},
            .override = {.admin_state = AdminState::kDraining,
                         .weight = Below(9),
                         .drain = control::DrainSpec{.timeout = absl::Seconds(Below(3))},
                         .ttl = absl::Seconds(Below(3) * 60),
                         .reason = "r" + std::to_string(Below(9))},
            .clear = Below(2) == 0};
        break;
      default:
        op.op = control::UpsertBackends{.pool = PoolName(), .backends = {SomeBackend()}};
    }
    request.ops.push_back(std::move(op));
    return request;
  }

  std::mt19937 random_;
};

TEST(ImportStateTest, WhatIsExportedComesBackWhateverWasThere) {
  size_t backends = 0, overrides = 0;
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    RandomEdits edits(seed);
    control::DesiredState state;
    state.revision = 1;
    for (int i = 0; i < 3; ++i) edits.Edit(&state);
    const pb::State exported = Export(state);
    if (exported.pools().empty()) continue;
    backends += exported.backends_size();
    for (const auto& backend : exported.backends()) overrides += backend.has_override();

    control::DesiredState empty;
    empty.revision = 1;
    const auto copied = Import(empty, exported, /*replace_all=*/false);
    ASSERT_TRUE(copied.ok()) << copied.status();
    EXPECT_EQ(Text(Export(copied->next)), Text(exported)) << "seed " << seed;

    const auto same = Import(state, exported, /*replace_all=*/true);
    ASSERT_TRUE(same.ok()) << same.status();
    EXPECT_EQ(Text(Export(same->next)), Text(exported)) << "seed " << seed;

    edits.Edit(&state);
    const auto restored = Import(state, exported, /*replace_all=*/true);
    ASSERT_TRUE(restored.ok()) << restored.status();
    EXPECT_EQ(Text(Export(restored->next)), Text(exported)) << "seed " << seed;

    const auto again = Import(restored->next, exported, /*replace_all=*/true);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_FALSE(again->has_changed) << "seed " << seed;
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
  EXPECT_GT(backends, 300u) << "the states are worth something";
  EXPECT_GT(overrides, 30u);
}

TEST(ImportStateTest, ReadsEveryFieldOfAClaimAndAnOverride) {
  pb::State state;
  state.add_pools()->set_name("web");
  pb::Backend* backend = state.add_backends();
  backend->set_pool("web");
  backend->set_address("10.0.0.1:80");
  pb::Claim* claim = backend->add_claims();
  claim->set_owner("api:a");
  *claim->mutable_spec() = MakeFilled<pb::BackendSpec>();
  claim->mutable_spec()->set_address("10.0.0.1:80");
  *backend->mutable_override() = MakeFilled<pb::Override>();
  backend->mutable_override()->clear_set_by();
  backend->mutable_override()->set_admin_state(pb::ADMIN_STATE_DRAINING);
  backend->mutable_override()->mutable_expire_time()->set_seconds(2'000'000'000);

  const auto change = Import(control::DesiredState{}, state, false);

  ASSERT_TRUE(change.ok()) << change.status();
  EXPECT_EQ(Text(Export(change->next)), Text(state));
}

std::string ViolatedField(const absl::Status& status) {
  const auto details = control::GetErrorDetails(status);
  return details && !details->violations.empty() ? details->violations[0].field : "";
}

TEST(ImportStateTest, NamesTheFieldOfAWrongShape) {
  const std::string path = "ops[0].import_state.state.backends[1]";
  const auto field = [](const std::function<void(pb::Backend*)>& spoil) {
    pb::State state;
    state.add_pools()->set_name("web");
    state.add_backends()->mutable_status()->set_state(pb::BACKEND_STATE_REMOVING);
    pb::Backend* backend = state.add_backends();
    backend->set_pool("web");
    backend->set_address("10.0.0.1:80");
    backend->add_claims()->set_owner("api:a");
    spoil(backend);
    return ViolatedField(Import(control::DesiredState{}, state, false).status());
  };

  EXPECT_EQ(field([](pb::Backend*) {}), "");
  EXPECT_EQ(field([](auto* b) { b->set_address("x"); }), path + ".address");
  EXPECT_EQ(
      field([](auto* b) { b->mutable_claims(0)->mutable_spec()->set_address("10.0.0.2:80"); }),
      path + ".claims[0].spec.address");
  EXPECT_EQ(field([](auto* b) { b->mutable_claims(0)->mutable_spec()->set_weight(70'000); }),
            path + ".claims[0].spec.weight");
  EXPECT_EQ(field([](auto* b) {
              b->mutable_override()->set_weight(1);
              b->mutable_override()->mutable_expire_time()->set_nanos(-1);
            }),
            path + ".override.expire_time");
  EXPECT_EQ(field([](auto* b) { b->mutable_override()->mutable_ttl()->set_seconds(-1); }),
            path + ".override.ttl");
}

}  // namespace
}  // namespace sidelb::rpc
