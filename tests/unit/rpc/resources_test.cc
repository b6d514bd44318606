// Listeners, pools, backends and overrides keep every field on their way to the model and back.
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "server/control/errors.h"
#include "server/rpc/convert_resources.h"
#include "tests/unit/rpc/filled_message.h"

namespace sidelb::rpc {
namespace {

template <typename Message>
class RoundTripTest : public ::testing::Test {};

using Messages = ::testing::Types<pb::Listener, pb::Pool, pb::BackendSpec, pb::Drain, pb::Override>;
TYPED_TEST_SUITE(RoundTripTest, Messages);

TYPED_TEST(RoundTripTest, EveryWritableFieldSurvives) {
  const auto before = MakeFilled<TypeParam>();
  const auto model = FromProto(before, FieldPath());
  ASSERT_TRUE(model.ok()) << model.status();
  const TypeParam after = ToProto(*model);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(before, after))
      << before.DebugString() << "became\n"
      << after.DebugString();
}

// What was not written is not written by an export either.
TYPED_TEST(RoundTripTest, AbsentFieldsStayAbsent) {
  TypeParam before;
  if constexpr (requires { before.set_address(""); }) before.set_address("192.0.2.1:80");
  const auto model = FromProto(before, FieldPath());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(ToProto(*model).SerializeAsString(), before.SerializeAsString());
}

TEST(ResourceTest, ExplicitZerosAreKeptApartFromAbsent) {
  pb::Listener proto;
  proto.set_address("[2001:db8::1]:443");
  proto.mutable_idle_timeout();
  proto.mutable_keepalive()->mutable_idle();
  proto.set_connect_attempts(0);
  const auto spec = FromProto(proto, FieldPath());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->idle_timeout, absl::ZeroDuration());
  EXPECT_EQ(spec->keepalive->idle, absl::ZeroDuration());
  EXPECT_EQ(spec->connect_attempts, 0u);
  EXPECT_FALSE(spec->half_close_timeout);
  EXPECT_FALSE(spec->keepalive->interval);

  pb::BackendSpec backend;
  backend.set_address("192.0.2.1:80");
  backend.set_weight(0);
  EXPECT_EQ(FromProto(backend, FieldPath())->weight, 0u);
}

TEST(ResourceTest, OutputOnlyFieldsAreNotRead) {
  pb::Override proto;
  proto.set_set_by("api:someone");
  proto.mutable_expire_time()->set_seconds(1);
  const auto override = FromProto(proto, FieldPath());
  ASSERT_TRUE(override.ok()) << override.status();
  EXPECT_EQ(override->set_by, "");
}

TEST(ResourceTest, SetByIsShown) {
  EXPECT_EQ(ToProto(control::Override{.set_by = "api:cli"}).set_by(), "api:cli");
}

// One wrong field each, and the path under which it is reported.
template <typename Message>
struct Wrong {
  std::string path;
  std::function<void(Message*)> spoil;
};

template <typename Message>
void ExpectBadField(const Wrong<Message>& wrong) {
  SCOPED_TRACE(wrong.path);
  auto message = MakeFilled<Message>();
  wrong.spoil(&message);
  const FieldPath root;
  const auto result = FromProto(message, root.Field("it"));
  ASSERT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
  const auto details = control::GetErrorDetails(result.status());
  ASSERT_TRUE(details);
  EXPECT_EQ(details->reason, "BAD_FIELD");
  ASSERT_EQ(details->violations.size(), 1u);
  EXPECT_EQ(details->violations[0].field, "it." + wrong.path);
}

constexpr auto kNoEnum = 99;

TEST(ResourceTest, WrongFieldsOfListenersAreNamed) {
  using L = pb::Listener;
  for (const Wrong<L>& wrong : std::vector<Wrong<L>>{
           {"address", [](L* it) { it->set_address(""); }},
           {"protocol", [](L* it) { it->set_protocol(static_cast<pb::Protocol>(kNoEnum)); }},
           {"connect_timeout", [](L* it) { it->mutable_connect_timeout()->set_seconds(-1); }},
           {"idle_timeout", [](L* it) { it->mutable_idle_timeout()->set_seconds(-1); }},
           {"half_close_timeout", [](L* it) { it->mutable_half_close_timeout()->set_nanos(-1); }},
           {"keepalive.idle",
            [](L* it) { it->mutable_keepalive()->mutable_idle()->set_seconds(-1); }},
           {"keepalive.interval",
            [](L* it) { it->mutable_keepalive()->mutable_interval()->set_seconds(-1); }},
       }) {
    ExpectBadField(wrong);
  }
}

TEST(ResourceTest, WrongFieldsOfPoolsAreNamed) {
  using P = pb::Pool;
  for (const Wrong<P>& wrong : std::vector<Wrong<P>>{
           {"mode", [](P* it) { it->set_mode(static_cast<pb::Mode>(kNoEnum)); }},
           {"ring_domains[0].max_ttl",
            [](P* it) { it->mutable_ring_domains(0)->mutable_max_ttl()->set_seconds(-1); }},
           {"ring_domains[0].record",
            [](P* it) {
              it->mutable_ring_domains(0)->set_record(static_cast<pb::RecordType>(kNoEnum));
            }},
           {"ring_domains[0].defaults.address",
            [](P* it) {
              it->mutable_ring_domains(0)->mutable_defaults()->set_address("10.0.0.1");
            }},
           {"drain.timeout",
            [](P* it) { it->mutable_drain()->mutable_timeout()->set_seconds(-1); }},
           {"drain.on_timeout",
            [](P* it) {
              it->mutable_drain()->set_on_timeout(static_cast<pb::DrainAction>(kNoEnum));
            }},
       }) {
    ExpectBadField(wrong);
  }
}

TEST(ResourceTest, WrongFieldsOfBackendsAndOverridesAreNamed) {
  using B = pb::BackendSpec;
  const auto no_state = static_cast<pb::AdminState>(kNoEnum);
  ExpectBadField<B>({"address", [](B* it) { it->set_address("10.0.0.1"); }});
  ExpectBadField<B>({"admin_state", [=](B* it) { it->set_admin_state(no_state); }});
  using O = pb::Override;
  ExpectBadField<O>({"admin_state", [=](O* it) { it->set_admin_state(no_state); }});
  ExpectBadField<O>(
      {"drain.timeout", [](O* it) { it->mutable_drain()->mutable_timeout()->set_seconds(-1); }});
}

}  // namespace
}  // namespace sidelb::rpc
