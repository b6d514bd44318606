// Durations, times, addresses and enumerations between proto and model.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <set>

#include "server/control/errors.h"
#include "server/rpc/convert_values.h"

namespace sidelb::rpc {
namespace {

using ::testing::HasSubstr;

google::protobuf::Duration MakeDuration(int64_t whole, int32_t nanos) {
  google::protobuf::Duration proto;
  proto.set_seconds(whole);
  proto.set_nanos(nanos);
  return proto;
}

// The path of the one violation of a BAD_FIELD; "" for anything else.
template <typename T>
std::string BadField(const absl::StatusOr<T>& result) {
  const auto details = control::GetErrorDetails(result.status());
  if (!absl::IsInvalidArgument(result.status()) || !details || details->reason != "BAD_FIELD" ||
      details->violations.size() != 1) {
    return "";
  }
  return details->violations[0].field;
}

TEST(FieldPathTest, NamesEveryStep) {
  const FieldPath root;
  const FieldPath op = root.Field("ops", 3);
  const FieldPath set = op.Field("upsert_backends");
  const FieldPath backend = set.Field("backends", 17);
  EXPECT_EQ(root.ToString(), "");
  EXPECT_EQ(backend.Field("weight").ToString(), "ops[3].upsert_backends.backends[17].weight");
}

TEST(DurationTest, KeepsNanosecondsBothWays) {
  for (const auto& [whole, nanos] : {std::pair<int64_t, int32_t>{0, 0},
                                     {0, 1},
                                     {30, 0},
                                     {3'600, 999'999'999},
                                     {315'576'000'000, 0}}) {
    const auto proto = MakeDuration(whole, nanos);
    const auto duration = FromProto(proto, FieldPath());
    ASSERT_TRUE(duration.ok()) << duration.status();
    EXPECT_EQ(ToProto(*duration).seconds(), whole);
    EXPECT_EQ(ToProto(*duration).nanos(), nanos);
  }
}

TEST(DurationTest, RefusesWhatIsNoDurationOrNegative) {
  const FieldPath root;
  const FieldPath path = root.Field("idle_timeout");
  for (const auto& [whole, nanos] : {std::pair<int64_t, int32_t>{-1, 0},
                                     {0, -1},
                                     {1, -1},
                                     {-1, 1},
                                     {0, 1'000'000'000},
                                     {0, -1'000'000'000},
                                     {315'576'000'001, 0},
                                     {INT64_MIN, 0},
                                     {INT64_MAX, 0}}) {
    EXPECT_EQ(BadField(FromProto(MakeDuration(whole, nanos), path)), "idle_timeout")
        << whole << " s " << nanos << " ns";
  }
}

TEST(DurationTest, AnInfiniteOneIsSentAsTheLongest) {
  EXPECT_EQ(ToProto(absl::InfiniteDuration()).seconds(), 315'576'000'000);
}

TEST(TimestampTest, RoundsTowardsThePastSoThatNanosAreNeverNegative) {
  const auto before_epoch = ToProto(absl::UnixEpoch() - absl::Milliseconds(250));
  EXPECT_EQ(before_epoch.seconds(), -1);
  EXPECT_EQ(before_epoch.nanos(), 750'000'000);
  const auto after_epoch = ToProto(absl::FromUnixMillis(1'500));
  EXPECT_EQ(after_epoch.seconds(), 1);
  EXPECT_EQ(after_epoch.nanos(), 500'000'000);
}

TEST(TimestampTest, InfiniteTimesStayWithinWhatATimestampHolds) {
  EXPECT_EQ(ToProto(absl::InfiniteFuture()).seconds(), 253'402'300'799);
  EXPECT_EQ(ToProto(absl::InfinitePast()).seconds(), -62'135'596'800);
}

TEST(AddressTest, ErrorNamesTheFieldAndWhatIsAllowed) {
  const FieldPath root;
  const auto bad = AddressFromProto("localhost:80", root.Field("addresses", 2));
  EXPECT_EQ(BadField(bad), "addresses[2]");
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("'localhost:80'"));
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("allowed: IP:PORT"));
}

// Every value that the proto names converts to a model's value of its own and back; zero is
// "absent"; a number that it does not name is an error that lists the names.
template <typename Proto>
class EnumTest : public ::testing::Test {};

using Enums = ::testing::Types<pb::Protocol, pb::Mode, pb::AdminState, pb::DrainAction, pb::WaitFor,
                               pb::BackendState>;
TYPED_TEST_SUITE(EnumTest, Enums);

TYPED_TEST(EnumTest, EveryNamedValueGoesThereAndBack) {
  const auto* descriptor = google::protobuf::GetEnumDescriptor<TypeParam>();
  const FieldPath root;
  const FieldPath path = root.Field("it");
  std::set<int> models;
  for (int i = 0; i < descriptor->value_count(); ++i) {
    const auto proto = static_cast<TypeParam>(descriptor->value(i)->number());
    const auto model = FromProto(proto, path);
    ASSERT_TRUE(model.ok()) << model.status();
    if (descriptor->value(i)->number() == 0) {
      EXPECT_FALSE(model->has_value());
      continue;
    }
    ASSERT_TRUE(model->has_value()) << descriptor->value(i)->name();
    EXPECT_EQ(ToProto(**model), proto);
    EXPECT_TRUE(models.insert(static_cast<int>(**model)).second) << "two names for one value";
  }
}

TYPED_TEST(EnumTest, AnUnknownNumberIsAnErrorThatListsTheNames) {
  const FieldPath root;
  const auto model = FromProto(static_cast<TypeParam>(99), root.Field("it"));
  EXPECT_EQ(BadField(model), "it");
  const auto* last = google::protobuf::GetEnumDescriptor<TypeParam>();
  EXPECT_THAT(std::string(model.status().message()),
              HasSubstr(last->value(last->value_count() - 1)->name()));
}

TEST(OutputEnumTest, EveryModelValueHasItsName) {
  EXPECT_EQ(ToProto(Health::kUnknown), pb::HEALTH_UNKNOWN);
  EXPECT_EQ(ToProto(Health::kHealthy), pb::HEALTH_HEALTHY);
  EXPECT_EQ(ToProto(Health::kUnhealthy), pb::HEALTH_UNHEALTHY);
  EXPECT_EQ(ToProto(control::ServerState::kStarting), pb::SERVER_STATE_STARTING);
  EXPECT_EQ(ToProto(control::ServerState::kServing), pb::SERVER_STATE_SERVING);
  EXPECT_EQ(ToProto(control::ServerState::kDraining), pb::SERVER_STATE_DRAINING);
  EXPECT_EQ(ToProto(IneligibleReason::kNone), pb::INELIGIBLE_REASON_UNSPECIFIED);
  EXPECT_EQ(ToProto(IneligibleReason::kDisabled), pb::INELIGIBLE_REASON_DISABLED);
  EXPECT_EQ(ToProto(IneligibleReason::kDraining), pb::INELIGIBLE_REASON_DRAINING);
  EXPECT_EQ(ToProto(IneligibleReason::kRemoved), pb::INELIGIBLE_REASON_REMOVED);
  EXPECT_EQ(ToProto(IneligibleReason::kZeroWeight), pb::INELIGIBLE_REASON_ZERO_WEIGHT);
  EXPECT_EQ(ToProto(IneligibleReason::kFull), pb::INELIGIBLE_REASON_FULL);
  EXPECT_EQ(ToProto(IneligibleReason::kUnhealthy), pb::INELIGIBLE_REASON_UNHEALTHY);
  EXPECT_EQ(ToProto(IneligibleReason::kEjected), pb::INELIGIBLE_REASON_EJECTED);
  EXPECT_EQ(ToProto(IneligibleReason::kStandby), pb::INELIGIBLE_REASON_STANDBY);
}

}  // namespace
}  // namespace sidelb::rpc
