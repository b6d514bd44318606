// What a write may set: the table is true to the proto, and nothing else passes.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include "server/control/errors.h"
#include "server/rpc/supported_fields.h"
#include "sidelb/v1/control.pb.h"
#include "tests/unit/rpc/filled_message.h"

namespace sidelb::rpc {
namespace {

namespace pb = sidelb::v1;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> ViolatedFields(const absl::Status& status) {
  std::vector<std::string> fields;
  const auto details = control::GetErrorDetails(status);
  if (!details) return fields;
  for (const auto& violation : details->violations) fields.push_back(violation.field);
  return fields;
}

TEST(SupportedFieldsTest, EveryNameInTheTableIsInTheProto) {
  for (const SupportedFields& row : SupportedFieldsTable()) {
    const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
        std::string(row.message));
    ASSERT_NE(type, nullptr) << row.message;
    for (const auto& names : {row.writable, row.output_only}) {
      for (std::string_view name : names) {
        EXPECT_NE(type->FindFieldByName(std::string(name)), nullptr) << row.message << "." << name;
      }
    }
  }
}

// Otherwise a field of it would pass unseen: messages without a row are writable as a whole.
TEST(SupportedFieldsTest, EveryMessageThatAWriteReachesHasARow) {
  std::vector<std::string_view> rows;
  for (const SupportedFields& row : SupportedFieldsTable()) rows.push_back(row.message);
  for (const SupportedFields& row : SupportedFieldsTable()) {
    const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
        std::string(row.message));
    for (std::string_view name : row.writable) {
      const auto* field = type->FindFieldByName(std::string(name));
      const auto* held = field->message_type();
      if (held == nullptr || field->is_map() || held->file()->package() != "sidelb.v1") continue;
      EXPECT_THAT(rows, Contains(std::string_view(held->full_name())));
    }
  }
}

TEST(CheckWriteTest, PassesAllThatIsSupported) {
  pb::ApplyRequest request;
  *request.add_ops()->mutable_put_listener() = MakeFilled<pb::Listener>();
  *request.add_ops()->mutable_put_pool() = MakeFilled<pb::Pool>();
  *request.add_ops()->mutable_upsert_backends() = MakeFilled<pb::BackendSet>();
  *request.add_ops()->mutable_remove_backends() = MakeFilled<pb::RemoveBackends>();
  *request.add_ops()->mutable_set_override() = MakeFilled<pb::SetOverride>();
  *request.add_ops()->mutable_set_mode() = MakeFilled<pb::SetMode>();
  *request.add_ops()->mutable_import_state() = MakeFilled<pb::Import>();
  request.add_ops()->mutable_remove_pool()->set_force(true);
  request.add_ops()->set_remove_listener("web");
  request.mutable_wait_timeout()->set_seconds(1);
  EXPECT_TRUE(CheckWrite(request).ok()) << CheckWrite(request);
}

TEST(CheckWriteTest, PassesOverOutputOnlyFieldsAndWhatTheyHold) {
  pb::ApplyRequest request;
  auto* listener = request.add_ops()->mutable_put_listener();
  listener->set_revision(7);
  auto* status = listener->mutable_status();
  status->set_bound(true);
  status->GetReflection()->MutableUnknownFields(status)->AddVarint(1'000, 1);
  request.add_ops()->mutable_put_pool()->mutable_status()->set_total(3);
  auto* override = request.add_ops()->mutable_set_override()->mutable_override();
  override->set_set_by("api:cli");
  override->mutable_expire_time()->set_seconds(1);
  EXPECT_TRUE(CheckWrite(request).ok()) << CheckWrite(request);
}

TEST(CheckWriteTest, NamesEveryFieldThatIsNotBuilt) {
  pb::ApplyRequest request;
  auto* listener = request.add_ops()->mutable_put_listener();
  listener->mutable_accept_proxy_protocol();
  listener->set_send_proxy_protocol(pb::PROXY_PROTOCOL_V2);
  request.add_ops()->mutable_put_pool()->set_local_zone("a");
  request.add_ops()->mutable_import_state()->mutable_state()->add_pools()->set_local_zone("a");

  const absl::Status status = CheckWrite(request);

  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_EQ(control::GetErrorDetails(status)->reason, "CAPABILITY");
  EXPECT_THAT(ViolatedFields(status),
              ::testing::UnorderedElementsAre("ops[0].put_listener.accept_proxy_protocol",
                                              "ops[0].put_listener.send_proxy_protocol",
                                              "ops[1].put_pool.local_zone",
                                              "ops[2].import_state.state.pools[0].local_zone"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("and 3 more"));
}

TEST(CheckWriteTest, TheListOfViolationsIsBounded) {
  pb::ApplyRequest request;
  for (int i = 0; i < 1'000; ++i) request.add_ops()->mutable_put_pool()->set_local_zone("a");
  const absl::Status status = CheckWrite(request);
  EXPECT_EQ(ViolatedFields(status).size(), 20u);
  EXPECT_THAT(std::string(status.message()), HasSubstr("and 999 more"));
}

TEST(CheckWriteTest, AFieldThatTheProtoDoesNotKnowIsAnErrorWithItsPlaceAndNumber) {
  pb::ApplyRequest request;
  request.add_ops();
  auto* backend = request.add_ops()->mutable_upsert_backends()->add_backends();
  backend->GetReflection()->MutableUnknownFields(backend)->AddVarint(77, 1);
  const absl::Status status = CheckWrite(request);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(control::GetErrorDetails(status)->reason, "BAD_FIELD");
  EXPECT_THAT(ViolatedFields(status), ElementsAre("ops[1].upsert_backends.backends[0]"));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("77"), HasSubstr("sidelb.v1.BackendSpec")));
}

TEST(CheckWriteTest, AnUnknownFieldOfTheRequestItselfIsSeenToo) {
  pb::ApplyRequest request;
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(900, "x");
  EXPECT_THAT(ViolatedFields(CheckWrite(request)), ElementsAre("request"));
}

// A newer client's new op is an op that is not set: the unknown field says more than that.
TEST(CheckWriteTest, UnknownFieldsAreToldBeforeWhatIsNotBuilt) {
  pb::ApplyRequest request;
  request.set_allow_mass_removal(true);
  auto* op = request.add_ops();
  op->GetReflection()->MutableUnknownFields(op)->AddLengthDelimited(12, "");
  EXPECT_THAT(ViolatedFields(CheckWrite(request)), ElementsAre("ops[0]"));
}

TEST(CapabilitiesTest, ListWhatIsBuiltAndNothingElse) {
  const std::vector<std::string> all = Capabilities();
  EXPECT_THAT(all, Contains("op:put_listener"));
  EXPECT_THAT(all, Contains("op:set_override"));
  EXPECT_THAT(all, Contains("mode:least-connections"));
  EXPECT_THAT(all, Contains("wait:drained"));
  EXPECT_THAT(all, Contains("rpc:GetStats"));
  EXPECT_THAT(all, Contains("provider:ring"));
  EXPECT_THAT(all, Contains("op:import_state"));
  EXPECT_THAT(all, Not(Contains("op:expected_revision")));
  EXPECT_THAT(all, Contains("rpc:Watch"));
  EXPECT_THAT(all, Contains("rpc:ListAudit"));
  EXPECT_THAT(all, Contains("rpc:RenewLease"));
}

}  // namespace
}  // namespace sidelb::rpc
