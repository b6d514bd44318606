#include "client/cli/compile.h"

#include "client/cli/exit_code.h"
#include "client/cli/values.h"
#include "client/error_details.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

pb::Backend WithWeightOverride(pb::Backend backend, uint32_t weight) {
  backend.mutable_override()->set_weight(weight);
  return backend;
}

TEST(BaseRequestTest, SaysWhatTheOptionsSay) {
  Arguments arguments;
  arguments.global.owner = "api:nomad";
  arguments.write.is_dry_run = true;
  arguments.write.comment = "why";
  arguments.write.expected_revision = 7;
  arguments.write.wait = pb::WAIT_FOR_COMMITTED;
  arguments.write.wait_timeout = absl::Seconds(9);

  const pb::ApplyRequest request = BaseRequest(arguments);

  EXPECT_EQ(request.owner(), "api:nomad");
  EXPECT_TRUE(request.validate_only());
  EXPECT_EQ(request.comment(), "why");
  EXPECT_EQ(request.expected_revision(), 7u);
  EXPECT_EQ(request.wait(), pb::WAIT_FOR_COMMITTED);
  EXPECT_EQ(request.wait_timeout().seconds(), 9);
}

TEST(BaseRequestTest, DefaultsToTheCliAndApplied) {
  const pb::ApplyRequest request = BaseRequest(Arguments());

  EXPECT_EQ(request.owner(), "api:cli");
  EXPECT_EQ(request.wait(), pb::WAIT_FOR_APPLIED);
  EXPECT_FALSE(request.has_expected_revision());
  EXPECT_FALSE(request.has_wait_timeout());
  EXPECT_EQ(request.request_id(), "");
}

TEST(PlanAddBackendsTest, MakesAnOpForEachSoThatEachResultIsKnown) {
  AddBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80", "10.0.0.6:80"};
  command.attributes.weight = std::optional<uint32_t>(0);
  command.attributes.tags = {{"a", "1"}};

  const WritePlan plan = PlanAddBackends(Arguments(), command, false);

  ASSERT_EQ(plan.request.ops_size(), 2);
  const pb::BackendSet& set = plan.request.ops(1).upsert_backends();
  EXPECT_EQ(set.pool(), "web");
  ASSERT_EQ(set.backends_size(), 1);
  EXPECT_EQ(set.backends(0).address(), "10.0.0.6:80");
  EXPECT_TRUE(set.backends(0).has_weight());
  EXPECT_EQ(set.backends(0).weight(), 0u);
  EXPECT_EQ(set.backends(0).tags().at("a"), "1");
  EXPECT_FALSE(plan.is_based_on_read);
}

TEST(PlanAddBackendsTest, PutsManyIntoOneOp) {
  AddBackendsCommand command;
  command.pool = "web";
  for (size_t i = 0; i <= kMaxSingleOps; ++i) {
    command.addresses.push_back("10.0.0.5:" + std::to_string(i + 1));
  }

  const WritePlan plan = PlanAddBackends(Arguments(), command, false);

  ASSERT_EQ(plan.request.ops_size(), 1);
  EXPECT_EQ(plan.request.ops(0).upsert_backends().backends_size(),
            static_cast<int>(kMaxSingleOps) + 1);
}

TEST(PlanAddBackendsTest, CreatesThePoolOnlyWhileItIsMissing) {
  AddBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80"};

  const WritePlan plan = PlanAddBackends(Arguments(), command, true);

  ASSERT_EQ(plan.request.ops_size(), 2);
  EXPECT_EQ(plan.request.ops(0).put_pool().name(), "web");
  EXPECT_TRUE(plan.request.ops(0).has_expected_revision());
  EXPECT_EQ(plan.request.ops(0).expected_revision(), 0u);
  EXPECT_TRUE(plan.is_based_on_read);
}

TEST(PlanSetBackendsTest, ChangesOnlyWhatWasGivenOfTheOwnersClaim) {
  pb::State current;
  *current.add_backends() = MakeBackend("web", "10.0.0.5:80", {"static", "api:cli"});
  pb::BackendSpec* own = current.mutable_backends(0)->mutable_claims(1)->mutable_spec();
  own->set_weight(50);
  own->set_zone("a");
  (*own->mutable_tags())["keep"] = "1";
  (*own->mutable_tags())["drop"] = "1";
  SetBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80"};
  command.attributes.weight = std::optional<uint32_t>(20);
  command.attributes.tags = {{"new", "2"}};
  command.attributes.removed_tags = {"drop"};

  const auto plan = PlanSetBackends(Arguments(), command, current, 812);

  ASSERT_TRUE(plan.ok()) << plan.status();
  const pb::BackendSpec& spec = plan->request.ops(0).upsert_backends().backends(0);
  EXPECT_EQ(spec.weight(), 20u);
  EXPECT_EQ(spec.zone(), "a");
  EXPECT_EQ(spec.tags().size(), 2u);
  EXPECT_EQ(spec.tags().at("keep"), "1");
  EXPECT_EQ(spec.tags().at("new"), "2");
  EXPECT_EQ(plan->request.expected_revision(), 812u);
  EXPECT_TRUE(plan->is_based_on_read);
}

TEST(PlanSetBackendsTest, WarnsWhenTheChangeWillNotShow) {
  pb::State current;
  *current.add_backends() =
      WithWeightOverride(MakeBackend("web", "10.0.0.5:80", {"api:nomad", "api:cli"}), 7);
  SetBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80"};
  command.attributes.weight = std::optional<uint32_t>(20);

  const auto plan = PlanSetBackends(Arguments(), command, current, 812);

  EXPECT_THAT(plan->warnings, ElementsAre(HasSubstr("the claim of api:nomad is in force"),
                                          HasSubstr("an override sets the weight to 7")));
}

TEST(PlanSetBackendsTest, OverridesTheWeightOfAForeignBackend) {
  pb::State current;
  *current.add_backends() = MakeBackend("web", "10.0.0.5:80", {"static"});
  SetBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80"};
  command.attributes.weight = std::optional<uint32_t>(20);

  const auto plan = PlanSetBackends(Arguments(), command, current, 812);

  const pb::SetOverride& set = plan->request.ops(0).set_override();
  EXPECT_EQ(set.pool(), "web");
  EXPECT_THAT(set.selector().addresses(), ElementsAre("10.0.0.5:80"));
  EXPECT_EQ(set.override().weight(), 20u);
  EXPECT_EQ(set.override().admin_state(), pb::ADMIN_STATE_UNSPECIFIED);
}

TEST(PlanSetBackendsTest, TakesTheWeightOverrideBackWithDefault) {
  pb::State current;
  *current.add_backends() = WithWeightOverride(MakeBackend("web", "10.0.0.5:80", {"static"}), 20);
  SetBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80"};
  command.attributes.weight.emplace(std::nullopt);

  const auto plan = PlanSetBackends(Arguments(), command, current, 812);

  const pb::SetOverride& set = plan->request.ops(0).set_override();
  EXPECT_THAT(set.clear_parts(), ElementsAre(pb::OVERRIDE_PART_WEIGHT));
  EXPECT_FALSE(set.has_override());
}

TEST(PlanSetBackendsTest, RefusesMoreThanTheWeightOfAForeignBackend) {
  pb::State current;
  *current.add_backends() = MakeBackend("web", "10.0.0.5:80", {"static", "ring:web.example"});
  SetBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80"};
  command.attributes.weight = std::optional<uint32_t>(20);
  command.attributes.zone = "a";

  const auto plan = PlanSetBackends(Arguments(), command, current, 812);

  EXPECT_EQ(ExitCodeFor(plan.status()), ExitCode::kConflict);
  EXPECT_EQ(GetErrorDetails(plan.status()).reason, "NOT_OWNER");
  EXPECT_THAT(std::string(plan.status().message()),
              HasSubstr("claimed by static, ring:web.example"));
}

TEST(PlanSetBackendsTest, KnowsNoBackendThatIsLeaving) {
  pb::State current;
  *current.add_backends() = MakeBackend("web", "10.0.0.5:80", {});
  SetBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80"};
  command.attributes.zone = "a";

  const auto plan = PlanSetBackends(Arguments(), command, current, 812);

  EXPECT_EQ(GetErrorDetails(plan.status()).reason, "BACKEND_NOT_FOUND");
}

TEST(PlanSetBackendsTest, KeepsTheRevisionThatTheCallerExpects) {
  pb::State current;
  *current.add_backends() = MakeBackend("web", "10.0.0.5:80", {"api:cli"});
  Arguments arguments;
  arguments.write.expected_revision = 5;
  SetBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80"};
  command.attributes.zone = "a";

  const auto plan = PlanSetBackends(arguments, command, current, 812);

  EXPECT_EQ(plan->request.expected_revision(), 5u);
  EXPECT_FALSE(plan->is_based_on_read);
}

TEST(PlanSetPoolTest, KeepsTheRestAndNamesTheRevisionItRead) {
  pb::State current;
  pb::Pool* pool = current.add_pools();
  pool->set_name("web");
  pool->set_mode(pb::MODE_LEAST_CONNECTIONS);
  pool->set_revision(77);
  pool->mutable_status()->set_total(3);
  SetPoolCommand command;
  command.name = "web";
  command.attributes.drain_timeout = absl::Minutes(2);

  const auto plan = PlanSetPool(Arguments(), command, current);

  const pb::Op& op = plan->request.ops(0);
  EXPECT_EQ(op.expected_revision(), 77u);
  EXPECT_EQ(op.put_pool().mode(), pb::MODE_LEAST_CONNECTIONS);
  EXPECT_EQ(op.put_pool().drain().timeout().seconds(), 120);
  EXPECT_EQ(op.put_pool().revision(), 0u);
  EXPECT_FALSE(op.put_pool().has_status());
  EXPECT_TRUE(plan->is_based_on_read);
}

TEST(PlanSetListenerTest, KeepsTheRest) {
  pb::State current;
  pb::Listener* listener = current.add_listeners();
  listener->set_name("http");
  listener->set_address("0.0.0.0:80");
  listener->set_pool("web");
  listener->set_revision(78);
  listener->mutable_keepalive()->set_count(9);
  SetListenerCommand command;
  command.name = "http";
  command.attributes.pool = "web-v2";
  command.attributes.keepalive_idle = absl::ZeroDuration();

  const auto plan = PlanSetListener(Arguments(), command, current);

  const pb::Op& op = plan->request.ops(0);
  EXPECT_EQ(op.expected_revision(), 78u);
  EXPECT_EQ(op.put_listener().address(), "0.0.0.0:80");
  EXPECT_EQ(op.put_listener().pool(), "web-v2");
  EXPECT_EQ(op.put_listener().keepalive().count(), 9u);
  EXPECT_TRUE(op.put_listener().keepalive().has_idle());
}

TEST(PlanSetListenerTest, SaysWhatIsMissing) {
  SetListenerCommand command;
  command.name = "http";

  const auto plan = PlanSetListener(Arguments(), command, pb::State());

  EXPECT_EQ(ExitCodeFor(plan.status()), ExitCode::kNotFound);
  EXPECT_EQ(plan.status().message(), "there is no listener \"http\"");
}

TEST(PlanOverrideTest, DrainsWithADeadlineAndForgetsAnEarlierOne) {
  OverrideCommand command;
  command.verb = OverrideCommand::Verb::kDrain;
  command.pool = "web";
  command.selector.addresses = {"10.0.0.5:80", "10.0.0.6:80"};
  command.drain_timeout = absl::Minutes(5);
  command.on_timeout = pb::DRAIN_ACTION_KEEP;
  command.reason = "new kernel";

  const WritePlan plan = PlanOverride(Arguments(), command);

  ASSERT_EQ(plan.request.ops_size(), 2);
  const pb::SetOverride& set = plan.request.ops(1).set_override();
  EXPECT_THAT(set.selector().addresses(), ElementsAre("10.0.0.6:80"));
  EXPECT_EQ(set.override().admin_state(), pb::ADMIN_STATE_DRAINING);
  EXPECT_EQ(set.override().drain().timeout().seconds(), 300);
  EXPECT_EQ(set.override().drain().on_timeout(), pb::DRAIN_ACTION_KEEP);
  EXPECT_EQ(set.override().reason(), "new kernel");
  EXPECT_THAT(set.clear_parts(), ElementsAre(pb::OVERRIDE_PART_ADMIN_STATE));
}

TEST(PlanOverrideTest, LeavesTheSelectorToTheDaemon) {
  OverrideCommand command;
  command.verb = OverrideCommand::Verb::kDisable;
  command.pool = "web";
  command.selector.zone = "a";
  command.selector.addresses = {"10.0.0.5:80"};

  const WritePlan plan = PlanOverride(Arguments(), command);

  ASSERT_EQ(plan.request.ops_size(), 1);
  const pb::SetOverride& set = plan.request.ops(0).set_override();
  EXPECT_EQ(set.selector().zone(), "a");
  EXPECT_THAT(set.selector().addresses(), ElementsAre("10.0.0.5:80"));
  EXPECT_EQ(set.override().admin_state(), pb::ADMIN_STATE_DISABLED);
}

TEST(PlanOverrideTest, EnablesByTakingTheOverrideBack) {
  OverrideCommand command;
  command.verb = OverrideCommand::Verb::kEnable;
  command.pool = "web";
  command.selector.is_all = true;

  const pb::SetOverride gentle = PlanOverride(Arguments(), command).request.ops(0).set_override();
  command.is_forced = true;
  const pb::SetOverride forced = PlanOverride(Arguments(), command).request.ops(0).set_override();

  EXPECT_TRUE(gentle.selector().all());
  EXPECT_FALSE(gentle.has_override());
  EXPECT_FALSE(gentle.clear());
  EXPECT_THAT(gentle.clear_parts(), ElementsAre(pb::OVERRIDE_PART_ADMIN_STATE));
  EXPECT_EQ(forced.override().admin_state(), pb::ADMIN_STATE_ENABLED);
}

TEST(DefaultWaitTest, FollowsTheDrain) {
  Arguments arguments;
  arguments.write.wait = pb::WAIT_FOR_DRAINED;
  OverrideCommand drain;
  drain.pool = "web";
  drain.selector.is_all = true;
  const auto seconds = [&] {
    return PlanOverride(arguments, drain).request.wait_timeout().seconds();
  };

  EXPECT_EQ(seconds(), 3600);  // no deadline
  drain.drain_timeout = absl::Seconds(60);
  EXPECT_EQ(seconds(), 65);
  drain.on_timeout = pb::DRAIN_ACTION_KEEP;
  EXPECT_EQ(seconds(), 3600);
  arguments.write.wait_timeout = absl::Seconds(2);
  EXPECT_EQ(seconds(), 2);
}

TEST(DefaultWaitTest, OfRemovalsFollowsThePoolWhereTheCommandIsSilent) {
  Arguments arguments;
  arguments.write.wait = pb::WAIT_FOR_DRAINED;
  RemoveBackendsCommand remove;
  remove.pool = "web";
  remove.addresses = {"10.0.0.5:80"};
  pb::Pool pool;
  pool.mutable_drain()->mutable_timeout()->set_seconds(120);
  const auto seconds = [&](const std::optional<pb::Pool>& read) {
    return PlanRemoveBackends(arguments, remove, read).request.wait_timeout().seconds();
  };

  EXPECT_EQ(seconds(std::nullopt), 35);
  EXPECT_EQ(seconds(pool), 125);
  remove.drain_timeout = absl::Seconds(10);
  EXPECT_EQ(seconds(pool), 15);
}

TEST(PlanRemoveBackendsTest, CarriesDrainAndOwnership) {
  RemoveBackendsCommand command;
  command.pool = "web";
  command.addresses = {"10.0.0.5:80"};
  command.drain_timeout = absl::Seconds(60);
  command.is_any_owner = true;

  const pb::RemoveBackends remove =
      PlanRemoveBackends(Arguments(), command, std::nullopt).request.ops(0).remove_backends();

  EXPECT_EQ(remove.drain().timeout().seconds(), 60);
  EXPECT_TRUE(remove.any_owner());
  EXPECT_THAT(remove.addresses(), ElementsAre("10.0.0.5:80"));
}

}  // namespace
}  // namespace sidelb::client
