#include "server/control/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BatchTest : public ::testing::Test {
 protected:
  BatchTest() { state_.revision = 100; }

  // Applies and keeps.
  Change Good(const ApplyRequest& request) {
    absl::StatusOr<Change> change = ApplyBatch(state_, request);
    EXPECT_TRUE(change.ok()) << change.status();
    if (!change.ok()) return {};
    state_ = change->next;
    return *std::move(change);
  }
  absl::Status Bad(const ApplyRequest& request) {
    absl::StatusOr<Change> change = ApplyBatch(state_, request);
    EXPECT_FALSE(change.ok());
    return change.status();
  }
  const BackendObject* Find(std::string_view address) {
    return state_.FindBackend("web", At(address));
  }

  DesiredState state_;
};

TEST_F(BatchTest, OneBatchMakesEverything) {
  const Change change = Good(Ops({Pool("web"), Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80")}),
                                  Listener("http", "0.0.0.0:80", "web")}));
  EXPECT_TRUE(change.has_changed);
  EXPECT_EQ(state_.revision, 101u);
  EXPECT_EQ(change.results[1].added, 2u);
  EXPECT_EQ(state_.backend_count, 2u);
  EXPECT_EQ(Find("10.0.0.1:80")->revision, 101u);
  EXPECT_EQ(Find("10.0.0.1:80")->claims[0].owner, "api:test");
  EXPECT_EQ(state_.FindListener("http")->spec.pool, "web");
}

TEST_F(BatchTest, AnErrorChangesNothingAndNamesTheField) {
  Good(Ops({Pool("web")}));
  const absl::Status status =
      Bad(Ops({Upsert("web", {B("10.0.0.1:80")}), Upsert("web", {B("10.0.0.2:80", 70'000)})}));
  EXPECT_EQ(Field(status), "ops[1].upsert_backends.backends[0].weight");
  EXPECT_THAT(std::string(status.message()), HasSubstr("70000"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("65535"));
  EXPECT_EQ(state_.revision, 101u);
  EXPECT_EQ(state_.backend_count, 0u);
}

TEST_F(BatchTest, WhatChangesNothingKeepsTheRevision) {
  const ApplyRequest request =
      Ops({Pool("web"), Upsert("web", {B("10.0.0.1:80")}), Listener("l", "127.0.0.1:80", "web")});
  Good(request);
  const Change again = Good(request);
  EXPECT_FALSE(again.has_changed);
  EXPECT_EQ(state_.revision, 101u);
  for (const OpResult& result : again.results) EXPECT_EQ(result.unchanged, 1u);
}

TEST_F(BatchTest, NamesAreChecked) {
  for (const char* name : {"", "Web", "a b", "a_b",
                           "way-too-long-way-too-long-way-too-long-way-"
                           "too-long-way-too-long-1"}) {
    EXPECT_EQ(Field(Bad(Ops({Pool(name)}))), "ops[0].put_pool.name") << name;
  }
}

TEST_F(BatchTest, UnknownPools) {
  EXPECT_EQ(Reason(Bad(Ops({Upsert("web", {B("10.0.0.1:80")})}))), "POOL_NOT_FOUND");
  EXPECT_EQ(Reason(Bad(Ops({Remove("web", {})}))), "POOL_NOT_FOUND");
  EXPECT_EQ(Reason(Bad(Ops({Listener("l", "127.0.0.1:80", "web")}))), "POOL_NOT_FOUND");
  EXPECT_EQ(Reason(Bad(Ops({{.op = SetMode{"web", Mode::kRandom}}}))), "POOL_NOT_FOUND");
}

TEST_F(BatchTest, ExpectedRevisions) {
  ApplyRequest request = Ops({Pool("web")});
  request.expected_revision = 99;
  const absl::Status status = Bad(request);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Reason(status), "REVISION_MISMATCH");
  EXPECT_EQ(GetErrorDetails(status)->metadata.at("current"), "100");
  request.expected_revision = 100;
  request.ops[0].expected_revision = 0;  // must not exist
  Good(request);
  request.expected_revision.reset();
  EXPECT_EQ(Bad(request).code(), absl::StatusCode::kAborted);
  Op upsert = Upsert("web", {B("10.0.0.1:80")});
  upsert.expected_revision = 101;
  Good(Ops({upsert}));
  // The pool's revision follows its backends.
  EXPECT_EQ(Reason(Bad(Ops({upsert}))), "REVISION_MISMATCH");
}

TEST_F(BatchTest, ABackendNamedTwiceIsAnError) {
  Good(Ops({Pool("web")}));
  EXPECT_EQ(Reason(Bad(Ops({Upsert("web", {B("10.0.0.1:80"), B("10.0.0.1:80")})}))),
            "DUPLICATE_TARGET");
  EXPECT_EQ(
      Reason(Bad(Ops({Upsert("web", {B("10.0.0.1:80")}), Remove("web", {At("10.0.0.1:80")})}))),
      "DUPLICATE_TARGET");
}

TEST_F(BatchTest, ClaimsOfSeveralOwners) {
  Good(Ops({Pool("web")}));
  Good(Ops({Upsert("web", {B("10.0.0.1:80", 10)})}, "static"));
  Good(Ops({Upsert("web", {B("10.0.0.1:80", 20)})}, "ring:db"));
  EXPECT_EQ(Find("10.0.0.1:80")->effective.weight, 10u) << "static stands over ring";
  Good(Ops({Upsert("web", {B("10.0.0.1:80", 30)})}, "api:first"));
  Good(Ops({Upsert("web", {B("10.0.0.1:80", 40)})}, "api:second"));
  EXPECT_EQ(Find("10.0.0.1:80")->effective.weight, 30u) << "the oldest claim of a rank wins";
  EXPECT_EQ(state_.backend_count, 1u);
  Good(Ops({Upsert("web", {B("10.0.0.1:80", 31)})}, "api:first"));
  EXPECT_EQ(Find("10.0.0.1:80")->effective.weight, 31u) << "an update keeps its age";

  const Change removed = Good(Ops({Remove("web", {At("10.0.0.1:80")})}, "api:first"));
  EXPECT_THAT(removed.warnings, ElementsAre("web/10.0.0.1:80: still claimed by api:second; use "
                                            "disable or --any-owner"));
  EXPECT_EQ(Find("10.0.0.1:80")->effective.weight, 40u);
  const Change all =
      Good(Ops({Remove("web", {At("10.0.0.1:80")}, /*any_owner=*/true)}, "api:second"));
  EXPECT_EQ(all.results[0].removed, 1u);
  EXPECT_EQ(Find("10.0.0.1:80"), nullptr);
  EXPECT_EQ(state_.backend_count, 0u);
}

TEST_F(BatchTest, RemovingWhatIsForeignOrAbsent) {
  Good(Ops({Pool("web")}));
  Good(Ops({Upsert("web", {B("10.0.0.1:80")})}, "static"));
  const Change foreign = Good(Ops({Remove("web", {At("10.0.0.1:80")})}));
  EXPECT_FALSE(foreign.has_changed);
  EXPECT_EQ(foreign.warnings.size(), 1u);
  const Change absent = Good(Ops({Remove("web", {At("10.0.0.9:80")})}));
  EXPECT_FALSE(absent.has_changed);
  EXPECT_THAT(absent.warnings, IsEmpty());
}

TEST_F(BatchTest, BuiltInOwnersAreNotForTheApi) {
  ApplyRequest request = Ops({Pool("web")}, "static");
  request.is_provider = false;
  EXPECT_EQ(Reason(Bad(request)), "OWNER_READ_ONLY");
  request.owner = "ring:db";
  EXPECT_EQ(Reason(Bad(request)), "OWNER_READ_ONLY");
  request.owner = "somebody";
  EXPECT_EQ(Field(Bad(request)), "owner");
  request.owner = "api:";
  EXPECT_EQ(Field(Bad(request)), "owner");
}

TEST_F(BatchTest, ReplaceIsExactlyMySet) {
  Good(Ops({Pool("web"), Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80")})}));
  Good(Ops({Upsert("web", {B("10.0.0.3:80")})}, "api:other"));
  const Change change = Good(Ops({Replace("web", {B("10.0.0.2:80"), B("10.0.0.4:80")})}));
  EXPECT_EQ(change.results[0].added, 1u);
  EXPECT_EQ(change.results[0].removed, 1u);
  EXPECT_EQ(change.results[0].unchanged, 1u);
  EXPECT_EQ(Find("10.0.0.1:80"), nullptr);
  EXPECT_NE(Find("10.0.0.3:80"), nullptr) << "another owner's";
  EXPECT_EQ(change.removals.at({"web", At("10.0.0.1:80")}).timeout, absl::Seconds(30));
}

TEST_F(BatchTest, DrainOfARemoval) {
  Op pool = Pool("web");
  std::get<PutPool>(pool.op).spec.drain = DrainSpec{.timeout = absl::Seconds(7)};
  Good(Ops({pool, Upsert("web", {B("10.0.0.1:80"), B("10.0.0.2:80")})}));
  EXPECT_EQ(Good(Ops({Remove("web", {At("10.0.0.1:80")})})).removals.begin()->second.timeout,
            absl::Seconds(7));
  Op remove = Remove("web", {At("10.0.0.2:80")});
  std::get<RemoveBackends>(remove.op).drain = DrainSpec{.on_timeout = DrainAction::kKeep};
  const DrainSpec drain = Good(Ops({remove})).removals.begin()->second;
  EXPECT_EQ(drain.timeout, absl::Seconds(7));
  EXPECT_EQ(drain.on_timeout, DrainAction::kKeep);
}

TEST_F(BatchTest, OverridesMergeAndClear) {
  Good(Ops({Pool("web"), Upsert("web", {B("10.0.0.1:80", 10)})}));
  const std::vector<Address> at = {At("10.0.0.1:80")};
  Good(Ops({Impose("web", at, {.weight = 5})}));
  Good(Ops({Impose(
      "web", at,
      {.admin_state = AdminState::kDraining, .drain = DrainSpec{.timeout = absl::Seconds(60)}})}));
  const BackendObject* backend = Find("10.0.0.1:80");
  EXPECT_EQ(backend->effective.weight, 5u);
  EXPECT_EQ(backend->effective.admin_state, AdminState::kDraining);
  EXPECT_EQ(backend->override->set_by, "api:test");
  EXPECT_EQ(backend->claims[0].spec.weight, 10u) << "the claim is as it was written";
  Good(Ops({{.op = SetOverride{
                 .pool = "web", .selector = {.addresses = at}, .clear_admin_state = true}}}));
  EXPECT_EQ(EffectiveAdminState(Find("10.0.0.1:80")->effective), AdminState::kEnabled);
  EXPECT_EQ(Find("10.0.0.1:80")->effective.weight, 5u);
  const Change cleared =
      Good(Ops({{.op = SetOverride{.pool = "web", .selector = {.all = true}, .clear = true}}}));
  EXPECT_EQ(cleared.results[0].updated, 1u);
  EXPECT_FALSE(Find("10.0.0.1:80")->override.has_value());
  EXPECT_EQ(Find("10.0.0.1:80")->effective.weight, 10u);
}

TEST_F(BatchTest, OverrideErrors) {
  Good(Ops({Pool("web"), Upsert("web", {B("10.0.0.1:80")})}));
  EXPECT_EQ(Reason(Bad(Ops({{.op = SetOverride{.pool = "web", .override = {.weight = 1}}}}))),
            "EMPTY_SELECTOR");
  EXPECT_EQ(Field(Bad(Ops({Impose("web", {At("10.0.0.1:80")}, {})}))),
            "ops[0].set_override.override");
  EXPECT_EQ(Field(Bad(Ops({Impose("web", {At("10.0.0.1:80")},
                                  {.admin_state = AdminState::kDisabled, .drain = DrainSpec{}})}))),
            "ops[0].set_override.override.drain");
  EXPECT_EQ(Reason(Bad(Ops({Impose("web", {At("10.0.0.9:80")}, {.weight = 1})}))),
            "BACKEND_NOT_FOUND");
}

TEST_F(BatchTest, SelectorsMatchAllTheirParts) {
  BackendSpec a = B("10.0.0.1:80"), b = B("10.0.0.2:80"), c = B("10.0.0.3:80");
  a.zone = b.zone = "eu";
  a.tags = {{"role", "canary"}};
  c.tags = {{"role", "canary"}};
  Good(Ops({Pool("web"), Upsert("web", {a, b, c})}));
  const auto matched = [&](Selector selector) {
    return Good(Ops({{.op = SetOverride{.pool = "web",
                                        .selector = std::move(selector),
                                        .override = {.weight = static_cast<uint32_t>(
                                                         state_.revision)}}}}))
        .results[0]
        .updated;
  };
  EXPECT_EQ(matched({.zone = "eu"}), 2u);
  EXPECT_EQ(matched({.tags = {{"role", "canary"}}}), 2u);
  EXPECT_EQ(matched({.zone = "eu", .tags = {{"role", "canary"}}}), 1u);
  EXPECT_EQ(matched({.owner = "api:test"}), 3u);
  EXPECT_EQ(matched({.all = true}), 3u);
  const Change none = Good(Ops(
      {{.op = SetOverride{.pool = "web", .selector = {.zone = "us"}, .override = {.weight = 1}}}}));
  EXPECT_EQ(none.warnings.size(), 1u);
}

TEST_F(BatchTest, RemovingAPoolInUse) {
  Good(Ops({Pool("web"), Upsert("web", {B("10.0.0.1:80")}), Listener("l", "127.0.0.1:80", "web")}));
  EXPECT_EQ(Reason(Bad(Ops({{.op = RemovePool{"web"}}}))), "POOL_IN_USE");
  const Change forced = Good(Ops({{.op = RemovePool{"web", true}}}));
  EXPECT_EQ(state_.FindPool("web"), nullptr);
  EXPECT_EQ(state_.FindListener("l"), nullptr);
  EXPECT_EQ(state_.backend_count, 0u);
  EXPECT_EQ(forced.warnings.size(), 1u);
  EXPECT_EQ(forced.removals.size(), 1u);
  EXPECT_FALSE(Good(Ops({{.op = RemovePool{"web"}}})).has_changed);
}

TEST_F(BatchTest, OneAddressForOneListener) {
  Good(Ops(
      {Pool("web"), Listener("a", "127.0.0.1:80", "web"), Listener("b", "127.0.0.1:81", "web")}));
  const absl::Status status = Bad(Ops({Pool("x"), Listener("c", "127.0.0.1:80", "web")}));
  EXPECT_EQ(Field(status), "ops[1].put_listener.address");
  EXPECT_THAT(std::string(status.message()), HasSubstr("'a'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'c'"));
  // Two may swap.
  Good(Ops({Listener("a", "127.0.0.1:81", "web"), Listener("b", "127.0.0.1:80", "web")}));
}

TEST_F(BatchTest, SetModeChangesTheHashKeyOnlyWhereItNamesOne) {
  Good(Ops({Pool("web", Mode::kMaglev)}));
  const auto set = [&](std::optional<HashKey> key, std::optional<uint32_t> size) {
    return Good(Ops({{.op = SetMode{"web", Mode::kMaglev, key, size}}})).has_changed;
  };
  EXPECT_TRUE(set(HashKey::kSourceIpPort, 1'009));
  EXPECT_FALSE(set(std::nullopt, std::nullopt));
  EXPECT_FALSE(set(HashKey::kSourceIpPort, 1'009));
  EXPECT_TRUE(set(HashKey::kSourceIp, std::nullopt));
  EXPECT_EQ(state_.FindPool("web")->object->spec.hash_table_size, 1'009u);
}

TEST_F(BatchTest, AHashTableSizeIsAPrimeWithinBounds) {
  for (uint32_t size : {251u, 65'537u, 655'373u}) {
    Good(Ops({{.op = PutPool{.spec = {.name = "web", .hash_table_size = size}}}}));
  }
  for (uint32_t size : {0u, 1u, 250u, 252u, 65'536u, 655'374u, 4'294'967'295u}) {
    const absl::Status put =
        Bad(Ops({{.op = PutPool{.spec = {.name = "web", .hash_table_size = size}}}}));
    EXPECT_EQ(Reason(put), "BAD_FIELD") << size;
    EXPECT_EQ(Field(put), "ops[0].put_pool.hash_table_size");
    const absl::Status set = Bad(Ops({{.op = SetMode{"web", Mode::kMaglev, std::nullopt, size}}}));
    EXPECT_EQ(Field(set), "ops[0].set_mode.hash_table_size");
  }
  EXPECT_THAT(
      std::string(Bad(Ops({{.op = PutPool{.spec = {.name = "web", .hash_table_size = 65'536}}}}))
                      .message()),
      ::testing::HasSubstr("65536; allowed: a prime from 251 to 655373, 65537 for example"));
}

TEST_F(BatchTest, SetModeKeepsTheRest) {
  Good(Ops({Pool("web")}));
  EXPECT_FALSE(Good(Ops({{.op = SetMode{"web", Mode::kRoundRobin}}})).has_changed);
  EXPECT_TRUE(Good(Ops({{.op = SetMode{"web", Mode::kLeastConnections}}})).has_changed);
  EXPECT_EQ(state_.FindPool("web")->object->spec.mode, Mode::kLeastConnections);
}

TEST_F(BatchTest, Bounds) {
  std::vector<Op> many(kMaxOps + 1, Pool("web"));
  EXPECT_EQ(Reason(Bad(Ops(many))), "TOO_MANY_OPS");
  Good(Ops({Pool("web")}));
  std::vector<BackendSpec> backends;
  for (uint32_t i = 0; i <= kMaxBackends; ++i) {
    sockaddr_in v4{.sin_family = AF_INET, .sin_port = htons(80)};
    v4.sin_addr.s_addr = htonl(0x0a000000 + i);
    backends.push_back(
        {.address = Address::FromSockaddr(reinterpret_cast<sockaddr*>(&v4), sizeof(v4))});
  }
  EXPECT_EQ(Reason(Bad(Ops({Upsert("web", backends)}))), "MAX_BACKENDS");
  backends.pop_back();
  EXPECT_EQ(Good(Ops({Upsert("web", backends)})).results[0].added, kMaxBackends);
}

TEST_F(BatchTest, ListenerFields) {
  Good(Ops({Pool("web")}));
  const auto with = [](auto change) {
    Op op = Listener("l", "127.0.0.1:80", "web");
    change(std::get<PutListener>(op.op).spec);
    return Ops({op});
  };
  EXPECT_EQ(Field(Bad(with([](ListenerSpec& s) { s.connect_attempts = 9; }))),
            "ops[0].put_listener.connect_attempts");
  EXPECT_EQ(Field(Bad(with([](ListenerSpec& s) { s.idle_timeout = absl::Seconds(-1); }))),
            "ops[0].put_listener.idle_timeout");
  EXPECT_EQ(Field(Bad(with([](ListenerSpec& s) {
              s.keepalive = KeepaliveSpec{.interval = absl::Milliseconds(1500)};
            }))),
            "ops[0].put_listener.keepalive.interval");
  EXPECT_EQ(Field(Bad(with([](ListenerSpec& s) { s.udp_session_timeout = absl::Seconds(-1); }))),
            "ops[0].put_listener.udp_session_timeout");
  Good(with([](ListenerSpec& s) { s.protocol = Protocol::kUdp; }));
  Good(with([](ListenerSpec& s) { s.idle_timeout = absl::ZeroDuration(); }));
}

TEST(ErrorsTest, DetailsSurviveTheStatus) {
  const ErrorDetails details{.reason = "BIND_FAILED",
                             .metadata = {{"errno", "EADDRINUSE"}, {"a:b", "c\nd"}},
                             .violations = {{"ops[0]", "x: y"}, {"", ""}}};
  const absl::Status status = MakeError(absl::StatusCode::kFailedPrecondition, "m", details);
  const auto back = GetErrorDetails(status);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->reason, details.reason);
  EXPECT_EQ(back->metadata, details.metadata);
  ASSERT_EQ(back->violations.size(), 2u);
  EXPECT_EQ(back->violations[0].description, "x: y");
  EXPECT_FALSE(GetErrorDetails(absl::InternalError("x")).has_value());
}

}  // namespace
}  // namespace sidelb::control
