// import_state: what a state says is so, of all owners; with replace_all nothing else is.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "fmt/format.h"
#include "server/control/claim_order.h"
#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

Op ImportOp(ImportState state) {
  for (size_t i = 0; i < state.backends.size(); ++i) state.backends[i].place = i;
  return {.op = std::move(state)};
}

ImportedBackend Given(std::string pool, std::string_view address, std::vector<std::string> owners,
                      std::optional<Override> override = std::nullopt) {
  ImportedBackend backend{
      .pool = std::move(pool), .address = At(address), .override = std::move(override)};
  for (std::string& owner : owners) backend.claims.push_back({std::move(owner), B(address)});
  return backend;
}

class ImportTest : public ::testing::Test {
 protected:
  ImportTest() { state_.revision = 1; }

  absl::StatusOr<Change> Try(std::vector<Op> ops, std::string owner = "api:admin") {
    return sidelb::control::ApplyBatch(state_, Ops(std::move(ops), std::move(owner)), kNow);
  }
  Change Do(std::vector<Op> ops, std::string owner = "api:admin") {
    auto change = Try(std::move(ops), std::move(owner));
    EXPECT_TRUE(change.ok()) << change.status();
    if (change.ok()) state_ = change->next;
    return change.ok() ? *std::move(change) : Change{};
  }
  Change Import(ImportState state) { return Do({ImportOp(std::move(state))}); }

  std::vector<std::string> OwnersOf(std::string_view pool, std::string_view address) const {
    std::vector<std::string> owners;
    const BackendObject* backend = state_.FindBackend(pool, At(address));
    if (backend == nullptr) return owners;
    for (const Claim& claim : backend->claims) owners.push_back(claim.owner);
    return owners;
  }
  // The backends of a pool in the order of round-robin.
  std::vector<std::string> OrderOf(std::string_view pool) const {
    std::vector<const BackendObject*> backends;
    for (const auto& [address, backend] : state_.FindPool(pool)->backends) {
      backends.push_back(backend.get());
    }
    std::sort(backends.begin(), backends.end(),
              [](auto* a, auto* b) { return a->oldest_claim < b->oldest_claim; });
    std::vector<std::string> addresses;
    for (const auto* backend : backends) addresses.push_back(backend->address.ToString());
    return addresses;
  }

  DesiredState state_;
};

using Owners = std::vector<std::string>;

TEST_F(ImportTest, MakesObjectsAndClaimsOfAllOwners) {
  const Change change =
      Import({.listeners = {{.name = "l", .address = At("0.0.0.0:80"), .pool = "web"}},
              .pools = {{.name = "web", .mode = Mode::kP2c}},
              .backends = {Given("web", "10.0.0.1:80", {"api:a", "static"}),
                           Given("web", "10.0.0.2:80", {"api:b"})}});

  EXPECT_EQ(OwnersOf("web", "10.0.0.1:80"), (Owners{"api:a", "static"}));
  EXPECT_EQ(OwnersOf("web", "10.0.0.2:80"), (Owners{"api:b"}));
  EXPECT_EQ(state_.backend_count, 2u);
  EXPECT_NE(state_.FindListener("l"), nullptr);
  EXPECT_EQ(change.results[0].added, 4u);
  EXPECT_EQ(change.summary,
            (std::vector<std::string>{"import: 4 added, 0 updated, 0 removed, 0 unchanged"}));
}

TEST_F(ImportTest, LeavesWhatItDoesNotName) {
  Do({Pool("web"), Pool("db"), Upsert("web", {B("10.0.0.1:80"), B("10.0.0.9:80")})}, "api:other");

  const Change change =
      Import({.pools = {{.name = "web"}}, .backends = {Given("web", "10.0.0.1:80", {"api:a"})}});

  EXPECT_EQ(OwnersOf("web", "10.0.0.1:80"), (Owners{"api:other", "api:a"}));
  EXPECT_EQ(OwnersOf("web", "10.0.0.9:80"), (Owners{"api:other"}));
  EXPECT_NE(state_.FindPool("db"), nullptr);
  EXPECT_EQ(change.results[0].updated, 1u);
  EXPECT_EQ(change.results[0].unchanged, 1u);
}

TEST_F(ImportTest, RemovesWhatItDoesNotNameWithReplaceAll) {
  Do({Pool("web"), Pool("db"), Upsert("web", {B("10.0.0.1:80"), B("10.0.0.9:80")}),
      Upsert("db", {B("10.0.1.1:80")}), Listener("l", "0.0.0.0:80", "db")},
     "api:other");

  const Change change = Import({.pools = {{.name = "web"}},
                                .backends = {Given("web", "10.0.0.1:80", {"api:a"})},
                                .replace_all = true});

  EXPECT_EQ(OwnersOf("web", "10.0.0.1:80"), (Owners{"api:a"}));
  EXPECT_EQ(state_.FindBackend("web", At("10.0.0.9:80")), nullptr);
  EXPECT_EQ(state_.FindPool("db"), nullptr);
  EXPECT_EQ(state_.FindListener("l"), nullptr);
  EXPECT_EQ(change.results[0].removed, 4u) << "listener, pool and two backends";
  EXPECT_TRUE(change.removals.contains({"web", At("10.0.0.9:80")}));
  EXPECT_EQ(state_.backend_count, 1u);
}

TEST_F(ImportTest, ChangesNothingTheSecondTime) {
  const ImportState state{.listeners = {{.name = "l", .address = At("0.0.0.0:80"), .pool = "web"}},
                          .pools = {{.name = "web"}},
                          .backends = {Given("web", "10.0.0.2:80", {"api:a"}),
                                       Given("web", "10.0.0.1:80", {"api:a", "api:b"},
                                             Override{.weight = 3, .ttl = absl::Hours(1)})},
                          .replace_all = true};
  Import(state);
  const uint64_t revision = state_.revision;

  const Change again = Import(state);

  EXPECT_FALSE(again.has_changed);
  EXPECT_EQ(state_.revision, revision);
  EXPECT_EQ(again.results[0].unchanged, 4u);
}

TEST_F(ImportTest, SetsAndClearsOverrides) {
  Do({Pool("web"), Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80")}),
      Impose("web", {At("10.0.0.1:80"), At("10.0.0.2:80")}, {.weight = 7})});
  const absl::Time end = kNow + absl::Minutes(5);

  Import({.backends = {Given("web", "10.0.0.1:80", {"api:admin"}),
                       Given("web", "10.0.0.2:80", {"api:admin"},
                             Override{.admin_state = AdminState::kDraining,
                                      .ttl = absl::Hours(1),
                                      .reason = "disk",
                                      .expire_time = end})}});

  EXPECT_FALSE(state_.FindBackend("web", At("10.0.0.1:80"))->override.has_value());
  const BackendObject* drained = state_.FindBackend("web", At("10.0.0.2:80"));
  ASSERT_TRUE(drained->override.has_value());
  EXPECT_EQ(drained->override->expire_time, end) << "not an hour from now";
  EXPECT_FALSE(drained->override->weight.has_value());
  EXPECT_EQ(drained->override->set_by, "api:admin");
  EXPECT_EQ(drained->effective.admin_state, AdminState::kDraining);
}

TEST_F(ImportTest, LeavesOutAnOverrideWhoseTimeIsOver) {
  const Change change =
      Import({.pools = {{.name = "web"}},
              .backends = {Given("web", "10.0.0.1:80", {"api:a"},
                                 Override{.weight = 3, .expire_time = kNow - absl::Seconds(1)})}});

  EXPECT_FALSE(state_.FindBackend("web", At("10.0.0.1:80"))->override.has_value());
  ASSERT_EQ(change.warnings.size(), 1u);
  EXPECT_NE(change.warnings[0].find("web/10.0.0.1:80: its override ended"), std::string::npos);
}

TEST_F(ImportTest, KeepsTheOrderOfTheList) {
  Import(
      {.pools = {{.name = "web"}},
       .backends = {Given("web", "10.0.0.3:80", {"api:a"}), Given("web", "10.0.0.1:80", {"api:b"}),
                    Given("web", "10.0.0.2:80", {"api:a"})}});

  EXPECT_EQ(OrderOf("web"), (Owners{"10.0.0.3:80", "10.0.0.1:80", "10.0.0.2:80"}));
}

TEST_F(ImportTest, PutsABackendThatWasRemovedBackInItsPlaceAndTouchesNoOther) {
  Do({Pool("web"), Upsert("web", {B("10.0.0.3:80"), B("10.0.0.1:80"), B("10.0.0.2:80")})});
  Do({Remove("web", {At("10.0.0.1:80")})});
  const BackendObject* last = state_.FindBackend("web", At("10.0.0.2:80"));

  const Change change = Import({.pools = {{.name = "web"}},
                                .backends = {Given("web", "10.0.0.3:80", {"api:admin"}),
                                             Given("web", "10.0.0.1:80", {"api:admin"}),
                                             Given("web", "10.0.0.2:80", {"api:admin"})},
                                .replace_all = true});

  EXPECT_EQ(OrderOf("web"), (Owners{"10.0.0.3:80", "10.0.0.1:80", "10.0.0.2:80"}));
  EXPECT_EQ(change.results[0].added, 1u);
  EXPECT_EQ(change.results[0].updated, 0u);
  EXPECT_EQ(state_.FindBackend("web", At("10.0.0.2:80")), last);
}

TEST_F(ImportTest, RestoresAnotherOrderWithReplaceAllOnly) {
  Do({Pool("web"), Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80"), B("10.0.0.3:80")})});
  ImportState turned{.pools = {{.name = "web"}},
                     .backends = {Given("web", "10.0.0.2:80", {"api:admin"}),
                                  Given("web", "10.0.0.1:80", {"api:admin"}),
                                  Given("web", "10.0.0.3:80", {"api:admin"})}};

  EXPECT_FALSE(Import(turned).has_changed);
  turned.replace_all = true;
  Import(turned);

  EXPECT_EQ(OrderOf("web"), (Owners{"10.0.0.2:80", "10.0.0.1:80", "10.0.0.3:80"}));
}

TEST_F(ImportTest, KeepsWhichOfTwoOwnersIsInForce) {
  Do({Pool("web"), Upsert("web", {B("10.0.0.1:80")})}, "api:b");

  Import({.pools = {{.name = "web"}},
          .backends = {Given("web", "10.0.0.1:80", {"api:a", "api:b"})},
          .replace_all = true});

  EXPECT_EQ(OwnersOf("web", "10.0.0.1:80"), (Owners{"api:a", "api:b"}));
}

TEST_F(ImportTest, LeavesClaimsOfDomainsToDns) {
  const PoolSpec web{.name = "web", .ring_domains = {{.domain = "w.example", .port = 80}}};
  Do({{.op = PutPool{web}}});
  Do({Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80", 5)})}, "ring:w.example");
  Do({Impose("web", {At("10.0.0.1:80")}, {.weight = 9})});
  ImportedBackend known = Given("web", "10.0.0.2:80", {"ring:w.example", "api:a"});
  known.claims[0].spec.weight = 77;

  const Change change =
      Import({.pools = {web},
              .backends = {known, Given("web", "10.0.0.3:80", {"ring:w.example"},
                                        Override{.admin_state = AdminState::kDraining})},
              .replace_all = true});

  EXPECT_EQ(OwnersOf("web", "10.0.0.1:80"), (Owners{"ring:w.example"})) << "it is not named";
  EXPECT_FALSE(state_.FindBackend("web", At("10.0.0.1:80"))->override.has_value());
  EXPECT_EQ(OwnersOf("web", "10.0.0.2:80"), (Owners{"api:a", "ring:w.example"}));
  EXPECT_EQ(state_.FindBackend("web", At("10.0.0.2:80"))->claims[1].spec.weight, 5u);
  EXPECT_EQ(state_.FindBackend("web", At("10.0.0.3:80")), nullptr) << "DNS may bring it";
  EXPECT_TRUE(change.warnings.empty());

  Do({Upsert("web", {B("10.0.0.3:80")})}, "ring:w.example");
  EXPECT_EQ(state_.FindBackend("web", At("10.0.0.3:80"))->effective.admin_state,
            AdminState::kDraining)
      << "its override has waited for it";
}

TEST_F(ImportTest, WarnsOfClaimsOfADomainThatNobodyFollows) {
  const Change change = Import(
      {.pools = {{.name = "web"}}, .backends = {Given("web", "10.0.0.1:80", {"ring:w.example"})}});

  EXPECT_EQ(state_.backend_count, 0u);
  EXPECT_EQ(change.warnings,
            (std::vector<std::string>{"1 claim of ring:w.example left out: pool web does "
                                      "not follow that domain"}));
}

TEST_F(ImportTest, ClaimsForWhoActsWhatNamesNoOwner) {
  Import({.pools = {{.name = "web"}},
          .backends = {Given("web", "10.0.0.1:80", {}), Given("web", "10.0.0.2:80", {""})}});

  EXPECT_EQ(OwnersOf("web", "10.0.0.1:80"), (Owners{"api:admin"}));
  EXPECT_EQ(OwnersOf("web", "10.0.0.2:80"), (Owners{"api:admin"}));
}

TEST_F(ImportTest, KeepsAPoolThatIsOnlyReferredTo) {
  Do({Pool("web", Mode::kP2c), Pool("db")});

  Import({.listeners = {{.name = "l", .address = At("0.0.0.0:80"), .pool = "web"}},
          .replace_all = true});

  ASSERT_NE(state_.FindPool("web"), nullptr);
  EXPECT_EQ(state_.FindPool("web")->object->spec.mode, Mode::kP2c);
  EXPECT_EQ(state_.FindPool("db"), nullptr);
}

TEST_F(ImportTest, NamesTheFieldThatIsWrong) {
  const ImportState good{.listeners = {{.name = "l", .address = At("0.0.0.0:80"), .pool = "web"}},
                         .pools = {{.name = "web"}},
                         .backends = {Given("web", "10.0.0.1:80", {"api:a"}),
                                      Given("web", "10.0.0.2:80", {"api:a", "api:b"})}};
  const auto field = [&](const std::function<void(ImportState*)>& spoil) {
    ImportState bad = good;
    spoil(&bad);
    const auto change = Try({ImportOp(std::move(bad))});
    EXPECT_EQ(change.status().code(), absl::StatusCode::kInvalidArgument) << change.status();
    return Field(change.status());
  };
  const std::string state = "ops[0].import_state.state";

  EXPECT_EQ(field([](auto* s) { s->backends[1].claims[0].spec.weight = 70'000; }),
            state + ".backends[1].claims[0].spec.weight");
  EXPECT_EQ(field([](auto* s) { s->backends[1].claims[1].owner = "api:a"; }),
            state + ".backends[1].claims[1].owner");
  EXPECT_EQ(field([](auto* s) { s->backends[0].claims[0].owner = "xds:a"; }),
            state + ".backends[0].claims[0].owner");
  EXPECT_EQ(field([](auto* s) { s->backends[0].claims[0].owner = "ring:-- "; }),
            state + ".backends[0].claims[0].owner");
  EXPECT_EQ(field([](auto* s) { s->backends[0].override = Override{.reason = "r"}; }),
            state + ".backends[0].override");
  EXPECT_EQ(field([](auto* s) { s->backends[1].override = Override{.weight = 70'000}; }),
            state + ".backends[1].override.weight");
  EXPECT_EQ(field([](auto* s) { s->backends[1].address = At("10.0.0.1:80"); }),
            state + ".backends[1].address");
  EXPECT_EQ(field([](auto* s) { s->pools[0].panic_percent = 101; }),
            state + ".pools[0].panic_percent");
  EXPECT_EQ(field([](auto* s) { s->listeners[0].connect_attempts = 9; }),
            state + ".listeners[0].connect_attempts");
  EXPECT_EQ(field([](auto* s) {
              s->listeners.push_back(s->listeners[0]);
              s->listeners[1].name = "m";
            }),
            state + ".listeners[1].address");
  EXPECT_EQ(field([](auto* s) { *s = {.replace_all = true}; }), state);
}

TEST_F(ImportTest, NeedsThePoolsThatItRefersTo) {
  const auto change = Try({ImportOp({.backends = {Given("web", "10.0.0.1:80", {"api:a"})}})});

  EXPECT_EQ(Reason(change.status()), "POOL_NOT_FOUND");
  EXPECT_EQ(Field(change.status()), "ops[0].import_state.state.backends[0].pool");
}

TEST_F(ImportTest, StandsAlone) {
  const auto change = Try({Pool("db"), ImportOp({.pools = {{.name = "web"}}})});

  EXPECT_EQ(Field(change.status()), "ops[1].import_state");
}

TEST_F(ImportTest, IsHeldToTheLimitOfBackends) {
  ImportState state{.pools = {{.name = "web"}}};
  for (uint32_t i = 0; i <= kMaxBackends; ++i) {
    state.backends.push_back(
        Given("web", fmt::format("10.{}.{}.{}:80", i >> 16, i >> 8 & 255, i & 255), {"api:a"}));
  }

  EXPECT_EQ(Reason(Try({ImportOp(std::move(state))}).status()), "MAX_BACKENDS");
}

TEST_F(ImportTest, ExpectsTheRevisionOfTheWholeConfiguration) {
  Do({Pool("web")});
  Op op = ImportOp({.pools = {{.name = "web", .mode = Mode::kP2c}}});
  op.expected_revision = state_.revision - 1;
  EXPECT_EQ(Reason(Try({op}).status()), "REVISION_MISMATCH");

  op.expected_revision = state_.revision;
  EXPECT_TRUE(Try({op}).ok());
}

TEST_F(ImportTest, DoesNotTouchWhatALeaseDid) {
  Do({Pool("web"), Upsert("web", {B("10.0.0.1:80")})}, "api:a");
  state_ = ApplyLease(state_, "api:a", LeaseEffect::kDrain, kNow).next;

  const Change change =
      Import({.pools = {{.name = "web"}}, .backends = {Given("web", "10.0.0.1:80", {"api:a"})}});

  EXPECT_FALSE(change.has_changed);
  EXPECT_TRUE(state_.FindBackend("web", At("10.0.0.1:80"))->claims[0].lease_drains);
}

TEST(ClaimOrderTest, DealsOutAnewWhereThereIsNoRoom) {
  const auto backend = [](std::string_view address, uint64_t order) {
    BackendObject object{.pool = "web", .address = At(address)};
    object.claims = {{.owner = "api:a", .spec = B(address), .order = order}};
    return object;
  };
  std::vector<BackendObject> backends = {backend("10.0.0.1:80", 4), backend("10.0.0.2:80", 0),
                                         backend("10.0.0.3:80", 5)};
  uint64_t next = 9;

  OrderAsListed(&backends, {4, 5}, &next);

  EXPECT_EQ(backends[0].claims[0].order, 4u);
  EXPECT_EQ(backends[1].claims[0].order, 5u);
  EXPECT_EQ(backends[2].claims[0].order, 9u);
  EXPECT_EQ(next, 10u);
}

}  // namespace
}  // namespace sidelb::control
