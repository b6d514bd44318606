// Requests on their way to the model: every op and field, every default, every wrong shape.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/control/errors.h"
#include "server/rpc/convert_request.h"
#include "tests/unit/rpc/filled_message.h"

namespace sidelb::rpc {
namespace {

using ::testing::ElementsAre;

Address At(const char* text) { return *Address::Parse(text); }

// The model's op of type T of a request with this one op.
template <typename T>
T ConvertOp(const pb::Op& op) {
  pb::ApplyRequest request;
  *request.add_ops() = op;
  const auto model = FromProto(request);
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok() || !std::holds_alternative<T>(model->ops.at(0).op)) {
    ADD_FAILURE() << "not the expected op";
    return T();
  }
  return std::get<T>(model->ops[0].op);
}

TEST(ApplyRequestTest, WhatIsAbsentGetsItsDefault) {
  const auto model = FromProto(pb::ApplyRequest());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->owner, "api:default");
  EXPECT_FALSE(model->is_provider);
  EXPECT_EQ(model->wait, control::WaitFor::kApplied);
  EXPECT_FALSE(model->wait_timeout);
  EXPECT_FALSE(model->expected_revision);
  EXPECT_FALSE(model->validate_only);
  EXPECT_TRUE(model->ops.empty());
}

TEST(ApplyRequestTest, CarriesEveryField) {
  pb::ApplyRequest request;
  request.set_owner("api:deploy");
  request.set_expected_revision(0);
  request.set_validate_only(true);
  request.set_wait(pb::WAIT_FOR_DRAINED);
  request.mutable_wait_timeout()->set_seconds(70);
  request.set_comment("blue to green");
  request.add_ops()->set_remove_listener("web");
  request.mutable_ops(0)->set_expected_revision(7);
  const auto model = FromProto(request);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->owner, "api:deploy");
  EXPECT_EQ(model->expected_revision, 0u);
  EXPECT_TRUE(model->validate_only);
  EXPECT_EQ(model->wait, control::WaitFor::kDrained);
  EXPECT_EQ(model->wait_timeout, absl::Seconds(70));
  EXPECT_EQ(model->comment, "blue to green");
  ASSERT_EQ(model->ops.size(), 1u);
  EXPECT_EQ(model->ops[0].expected_revision, 7u);
}

TEST(OpTest, Listeners) {
  pb::Op op;
  *op.mutable_put_listener() = MakeFilled<pb::Listener>();
  EXPECT_EQ(ConvertOp<control::PutListener>(op).spec.name, op.put_listener().name());
  op.set_remove_listener("old");
  EXPECT_EQ(ConvertOp<control::RemoveListener>(op).name, "old");
}

TEST(OpTest, Pools) {
  pb::Op op;
  *op.mutable_put_pool() = MakeFilled<pb::Pool>();
  EXPECT_EQ(ConvertOp<control::PutPool>(op).spec.name, op.put_pool().name());
  op.mutable_remove_pool()->set_pool("old");
  EXPECT_EQ(ConvertOp<control::RemovePool>(op).pool, "old");
  EXPECT_FALSE(ConvertOp<control::RemovePool>(op).force);
  op.mutable_remove_pool()->set_force(true);
  EXPECT_TRUE(ConvertOp<control::RemovePool>(op).force);
  op.mutable_set_mode()->set_pool("web");
  op.mutable_set_mode()->set_mode(pb::MODE_LEAST_CONNECTIONS);
  EXPECT_EQ(ConvertOp<control::SetMode>(op).pool, "web");
  EXPECT_EQ(ConvertOp<control::SetMode>(op).mode, Mode::kLeastConnections);
}

TEST(OpTest, BackendSets) {
  pb::BackendSet set;
  set.set_pool("web");
  set.add_backends()->set_address("192.0.2.1:80");
  set.add_backends()->set_address("192.0.2.2:80");
  set.mutable_backends(1)->set_weight(50);
  pb::Op op;
  *op.mutable_upsert_backends() = set;
  const auto upsert = ConvertOp<control::UpsertBackends>(op);
  *op.mutable_replace_backends() = set;
  const auto replace = ConvertOp<control::ReplaceBackends>(op);
  EXPECT_EQ(upsert.pool, "web");
  EXPECT_EQ(replace.pool, "web");
  ASSERT_EQ(upsert.backends.size(), 2u);
  EXPECT_EQ(upsert.backends, replace.backends);
  EXPECT_EQ(upsert.backends[0].address, At("192.0.2.1:80"));
  EXPECT_EQ(upsert.backends[1].weight, 50u);
}

TEST(OpTest, RemoveBackends) {
  pb::Op op;
  auto* proto = op.mutable_remove_backends();
  proto->set_pool("web");
  proto->add_addresses("192.0.2.1:80");
  proto->add_addresses("[::1]:80");
  EXPECT_FALSE(ConvertOp<control::RemoveBackends>(op).drain);
  proto->mutable_drain()->mutable_timeout()->set_seconds(60);
  proto->set_any_owner(true);
  const auto remove = ConvertOp<control::RemoveBackends>(op);
  EXPECT_EQ(remove.pool, "web");
  EXPECT_THAT(remove.addresses, ElementsAre(At("192.0.2.1:80"), At("[::1]:80")));
  EXPECT_EQ(remove.drain->timeout, absl::Seconds(60));
  EXPECT_TRUE(remove.any_owner);
}

TEST(OpTest, SetOverride) {
  pb::Op op;
  auto* proto = op.mutable_set_override();
  proto->set_pool("web");
  *proto->mutable_override() = MakeFilled<pb::Override>();
  auto* selector = proto->mutable_selector();
  selector->add_addresses("192.0.2.1:80");
  selector->set_group("rack-1");
  selector->set_zone("a");
  (*selector->mutable_tags())["version"] = "2";
  selector->set_owner("api:deploy");
  selector->set_all(true);
  proto->set_clear(true);
  proto->add_clear_parts(pb::OVERRIDE_PART_ADMIN_STATE);
  proto->add_clear_parts(pb::OVERRIDE_PART_WEIGHT);
  const auto set = ConvertOp<control::SetOverride>(op);
  EXPECT_EQ(set.pool, "web");
  EXPECT_EQ(set.override.reason, proto->override().reason());
  EXPECT_THAT(set.selector.addresses, ElementsAre(At("192.0.2.1:80")));
  EXPECT_EQ(set.selector.group, "rack-1");
  EXPECT_EQ(set.selector.zone, "a");
  EXPECT_THAT(set.selector.tags,
              ElementsAre(std::pair<const std::string, std::string>("version", "2")));
  EXPECT_EQ(set.selector.owner, "api:deploy");
  EXPECT_TRUE(set.selector.all);
  EXPECT_TRUE(set.clear);
  EXPECT_TRUE(set.clear_admin_state);
  EXPECT_TRUE(set.clear_weight);
}

// A request, and how its refusal must name what is wrong.
struct Refused {
  std::string field;
  std::function<void(pb::ApplyRequest*)> spoil;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
  std::string reason = "BAD_FIELD";
};

TEST(ApplyRequestTest, WrongShapesNameTheirField) {
  constexpr int kNoEnum = 99;
  using R = pb::ApplyRequest;
  // All act on the second of three ops.
  const std::vector<Refused> cases = {
      {"wait", [](R* r) { r->set_wait(static_cast<pb::WaitFor>(kNoEnum)); }},
      {"wait_timeout", [](R* r) { r->mutable_wait_timeout()->set_seconds(-5); }},
      {"ops[1]", [](R* r) { r->mutable_ops(1)->clear_op(); }},
      {"ops[1].put_listener.address",
       [](R* r) { r->mutable_ops(1)->mutable_put_listener()->set_address("nowhere"); }},
      {"ops[1].put_pool.mode",
       [](R* r) {
         r->mutable_ops(1)->mutable_put_pool()->set_mode(static_cast<pb::Mode>(kNoEnum));
       }},
      {"ops[1].upsert_backends.backends[1].address",
       [](R* r) {
         auto* set = r->mutable_ops(1)->mutable_upsert_backends();
         set->add_backends()->set_address("192.0.2.1:80");
         set->add_backends()->set_address("192.0.2.1:99999");
       }},
      {"ops[1].replace_backends.backends[0].address",
       [](R* r) { r->mutable_ops(1)->mutable_replace_backends()->add_backends(); }},
      {"ops[1].remove_backends.addresses[0]",
       [](R* r) { r->mutable_ops(1)->mutable_remove_backends()->add_addresses("x"); }},
      {"ops[1].remove_backends.drain.timeout",
       [](R* r) {
         r->mutable_ops(1)
             ->mutable_remove_backends()
             ->mutable_drain()
             ->mutable_timeout()
             ->set_nanos(-1);
       }},
      {"ops[1].set_mode.mode",
       [](R* r) { r->mutable_ops(1)->mutable_set_mode()->set_pool("web"); }},
      {"ops[1].set_mode.mode",
       [](R* r) {
         r->mutable_ops(1)->mutable_set_mode()->set_mode(static_cast<pb::Mode>(kNoEnum));
       }},
      {"ops[1].set_override.selector.addresses[0]",
       [](R* r) {
         r->mutable_ops(1)->mutable_set_override()->mutable_selector()->add_addresses("");
       }},
      {"ops[1].set_override.override.admin_state",
       [](R* r) {
         r->mutable_ops(1)->mutable_set_override()->mutable_override()->set_admin_state(
             static_cast<pb::AdminState>(kNoEnum));
       }},
      {"ops[1].set_override.clear_parts[0]",
       [](R* r) {
         r->mutable_ops(1)->mutable_set_override()->add_clear_parts(pb::OVERRIDE_PART_UNSPECIFIED);
       }},
      {"ops[1].import_state.state.listeners[0].address",
       [](R* r) {
         r->mutable_ops(1)->mutable_import_state()->mutable_state()->add_listeners()->set_address(
             "x");
       }},
  };
  for (const Refused& one : cases) {
    SCOPED_TRACE(one.field);
    pb::ApplyRequest request;
    for (int i = 0; i < 3; ++i) request.add_ops()->set_remove_listener("web");
    one.spoil(&request);
    const auto model = FromProto(request);
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.status().code(), one.code) << model.status();
    const auto details = control::GetErrorDetails(model.status());
    ASSERT_TRUE(details);
    EXPECT_EQ(details->reason, one.reason);
    ASSERT_EQ(details->violations.size(), 1u);
    EXPECT_EQ(details->violations[0].field, one.field);
  }
}

TEST(GetStateRequestTest, WhatIsAbsentSelectsEverything) {
  const auto query = FromProto(pb::GetStateRequest());
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_TRUE(query->filter.with_listeners);
  EXPECT_TRUE(query->filter.with_pools);
  EXPECT_TRUE(query->filter.with_backends);
  EXPECT_FALSE(query->filter.backends);
  EXPECT_FALSE(query->is_config_only);
  EXPECT_EQ(query->page_size, 500u);
  EXPECT_EQ(query->min_revision, 0u);
}

TEST(GetStateRequestTest, CarriesEveryField) {
  pb::GetStateRequest request;
  request.mutable_filter()->add_pools("web");
  request.mutable_filter()->add_listeners("http");
  request.mutable_filter()->add_kinds(pb::OBJECT_KIND_BACKEND);
  request.mutable_filter()->mutable_backends()->set_zone("a");
  request.mutable_filter()->add_states(pb::BACKEND_STATE_DRAINING);
  request.set_view(pb::VIEW_CONFIG);
  request.set_page_size(7);
  request.set_min_revision(12);
  const auto query = FromProto(request);
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_THAT(query->filter.pools, ElementsAre("web"));
  EXPECT_THAT(query->filter.listeners, ElementsAre("http"));
  EXPECT_FALSE(query->filter.with_listeners);
  EXPECT_FALSE(query->filter.with_pools);
  EXPECT_TRUE(query->filter.with_backends);
  ASSERT_TRUE(query->filter.backends);
  EXPECT_EQ(query->filter.backends->zone, "a");
  EXPECT_THAT(query->filter.states, ElementsAre(control::BackendState::kDraining));
  EXPECT_TRUE(query->is_config_only);
  EXPECT_EQ(query->page_size, 7u);
  EXPECT_EQ(query->min_revision, 12u);
}

TEST(GetStateRequestTest, EachKindSelectsItself) {
  pb::GetStateRequest request;
  request.mutable_filter()->add_kinds(pb::OBJECT_KIND_LISTENER);
  EXPECT_TRUE(FromProto(request)->filter.with_listeners);
  EXPECT_FALSE(FromProto(request)->filter.with_pools);
  request.mutable_filter()->add_kinds(pb::OBJECT_KIND_POOL);
  EXPECT_TRUE(FromProto(request)->filter.with_listeners);
  EXPECT_TRUE(FromProto(request)->filter.with_pools);
  EXPECT_FALSE(FromProto(request)->filter.with_backends);
}

TEST(GetStateRequestTest, LargePagesAreCutToTheLimit) {
  pb::GetStateRequest request;
  request.set_page_size(1'000'000);
  EXPECT_EQ(FromProto(request)->page_size, 2'000u);
}

TEST(GetStateRequestTest, WrongShapesNameTheirField) {
  using R = pb::GetStateRequest;
  const std::vector<std::pair<std::string, std::function<void(R*)>>> cases = {
      {"view", [](R* r) { r->set_view(static_cast<pb::View>(99)); }},
      {"page_size", [](R* r) { r->set_page_size(-1); }},
      {"filter.kinds[0]",
       [](R* r) { r->mutable_filter()->add_kinds(pb::OBJECT_KIND_UNSPECIFIED); }},
      {"filter.kinds[0]",
       [](R* r) { r->mutable_filter()->add_kinds(static_cast<pb::ObjectKind>(99)); }},
      {"filter.states[0]",
       [](R* r) { r->mutable_filter()->add_states(pb::BACKEND_STATE_UNSPECIFIED); }},
      {"filter.states[0]",
       [](R* r) { r->mutable_filter()->add_states(static_cast<pb::BackendState>(99)); }},
      {"filter.backends.addresses[0]",
       [](R* r) { r->mutable_filter()->mutable_backends()->add_addresses("x"); }},
  };
  for (const auto& [field, spoil] : cases) {
    SCOPED_TRACE(field);
    pb::GetStateRequest request;
    spoil(&request);
    const auto query = FromProto(request);
    ASSERT_TRUE(absl::IsInvalidArgument(query.status())) << query.status();
    const auto details = control::GetErrorDetails(query.status());
    ASSERT_EQ(details->violations.size(), 1u);
    EXPECT_EQ(details->violations[0].field, field);
  }
}

TEST(GetStatsRequestTest, IsAFilterAndWhetherPeaksBeginAnew) {
  pb::GetStatsRequest request;
  EXPECT_TRUE(FromProto(request)->filter.with_backends);
  EXPECT_FALSE(FromProto(request)->reset_peaks);
  request.mutable_filter()->add_pools("web");
  request.mutable_filter()->add_kinds(pb::OBJECT_KIND_POOL);
  request.set_reset_peaks(true);
  const auto query = FromProto(request);
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_THAT(query->filter.pools, ElementsAre("web"));
  EXPECT_FALSE(query->filter.with_backends);
  EXPECT_TRUE(query->reset_peaks);
  request.mutable_filter()->mutable_backends()->add_addresses("x");
  EXPECT_EQ(control::GetErrorDetails(FromProto(request).status())->violations.at(0).field,
            "filter.backends.addresses[0]");
}

TEST(GetStateRequestTest, LeasesAreAKind) {
  pb::GetStateRequest request;
  request.mutable_filter()->add_kinds(pb::OBJECT_KIND_LEASE);
  const auto query = FromProto(request);
  ASSERT_TRUE(query.ok());
  EXPECT_TRUE(query->filter.with_leases);
  EXPECT_FALSE(query->filter.with_backends);
}

TEST(RenewLeaseRequestTest, CarriesAllFields) {
  pb::RenewLeaseRequest request;
  request.set_owner("api:nomad");
  request.set_holder("alloc-7f");
  request.mutable_ttl()->set_seconds(30);
  request.mutable_grace();
  request.set_on_expiry(pb::EXPIRY_ACTION_REMOVE);
  request.set_take_over(true);
  const auto model = FromProto(request);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->owner, "api:nomad");
  EXPECT_EQ(model->holder, "alloc-7f");
  EXPECT_EQ(model->ttl, absl::Seconds(30));
  EXPECT_EQ(model->grace, absl::ZeroDuration()) << "0s is not absent";
  EXPECT_EQ(model->on_expiry, control::ExpiryAction::kRemove);
  EXPECT_TRUE(model->take_over);
  EXPECT_FALSE(model->release);
}

}  // namespace
}  // namespace sidelb::rpc
