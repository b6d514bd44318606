// Errors as gRPC sends them, with google.rpc details that always fit into the trailers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "server/control/errors.h"
#include "server/rpc/status.h"

namespace sidelb::rpc {
namespace {

using ::testing::HasSubstr;

// What clients accept of trailers, by default.
constexpr size_t kMaxTrailerBytes = 8'192;

google::rpc::Status Rich(const grpc::Status& status) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  return rich;
}

template <typename Detail>
std::optional<Detail> Find(const grpc::Status& status) {
  const google::rpc::Status rich = Rich(status);
  for (const auto& any : rich.details()) {
    Detail detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

// The worst case: every byte of the message percent-encoded, the details in base64.
size_t TrailerBytes(const grpc::Status& status) {
  return 3 * status.error_message().size() + (status.error_details().size() + 2) / 3 * 4;
}

TEST(StatusTest, OkIsOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_EQ(ToGrpcStatus(absl::OkStatus()).error_details(), "");
}

TEST(StatusTest, CarriesCodeMessageReasonDomainAndMetadata) {
  const auto status = ToGrpcStatus(
      control::MakeError(absl::StatusCode::kAborted, "the revision is 8, not 7",
                         {.reason = "REVISION_MISMATCH", .metadata = {{"current", "8"}}}));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "the revision is 8, not 7");
  EXPECT_EQ(Rich(status).code(), static_cast<int>(grpc::StatusCode::ABORTED));
  EXPECT_EQ(Rich(status).message(), "the revision is 8, not 7");
  const auto info = Find<google::rpc::ErrorInfo>(status);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->reason(), "REVISION_MISMATCH");
  EXPECT_EQ(info->domain(), "sidelb");
  EXPECT_EQ(info->metadata().at("current"), "8");
  EXPECT_FALSE(Find<google::rpc::BadRequest>(status));
  EXPECT_FALSE(Find<google::rpc::RetryInfo>(status));
}

TEST(StatusTest, CarriesFieldViolations) {
  const auto status = ToGrpcStatus(control::BadField("ops[3].put_pool.name", "is empty"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const auto bad = Find<google::rpc::BadRequest>(status);
  ASSERT_TRUE(bad);
  ASSERT_EQ(bad->field_violations_size(), 1);
  EXPECT_EQ(bad->field_violations(0).field(), "ops[3].put_pool.name");
  EXPECT_EQ(bad->field_violations(0).description(), "is empty");
}

TEST(StatusTest, ADrainingServerSaysWhenToRetry) {
  const auto status = ToGrpcStatus(DrainingError());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(status)->reason(), "SERVER_DRAINING");
  const auto retry = Find<google::rpc::RetryInfo>(status);
  ASSERT_TRUE(retry);
  EXPECT_GT(retry->retry_delay().seconds(), 0);
}

TEST(StatusTest, CapabilityErrorsNameTheField) {
  const auto status = ToGrpcStatus(CapabilityError("filter.kinds[0]", "LEASE is not supported"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(), "filter.kinds[0]: LEASE is not supported");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(status)->reason(), "CAPABILITY");
  EXPECT_EQ(Find<google::rpc::BadRequest>(status)->field_violations(0).field(), "filter.kinds[0]");
  EXPECT_FALSE(Find<google::rpc::BadRequest>(ToGrpcStatus(CapabilityError("", "Watch"))));
}

TEST(StatusTest, StatusesOfOtherOriginKeepCodeAndMessage) {
  const auto status = ToGrpcStatus(absl::ResourceExhaustedError("no descriptors"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "no descriptors");
  EXPECT_EQ(status.error_details(), "");
}

TEST(StatusTest, LongTextsAreCutSoThatTheTrailersStaySmall) {
  const std::string huge(100'000, 'x');
  control::ErrorDetails details{.reason = "POOL_NOT_FOUND"};
  for (int i = 0; i < 100; ++i) details.metadata[huge + std::to_string(i)] = huge;
  for (int i = 0; i < 100; ++i) details.violations.push_back({huge, huge});
  const auto status =
      ToGrpcStatus(control::MakeError(absl::StatusCode::kNotFound, huge, std::move(details)));
  EXPECT_LT(TrailerBytes(status), kMaxTrailerBytes - 512);
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(status)->reason(), "POOL_NOT_FOUND");
  const auto bad = Find<google::rpc::BadRequest>(status);
  ASSERT_TRUE(bad);
  EXPECT_GE(bad->field_violations_size(), 2);
  const auto& last = bad->field_violations(bad->field_violations_size() - 1);
  EXPECT_EQ(last.field(), "");
  EXPECT_EQ(last.description(),
            "and " + std::to_string(100 - (bad->field_violations_size() - 1)) + " more");
}

TEST(StatusTest, AsManyViolationsAsFitAreNamed) {
  control::ErrorDetails details{.reason = "CAPABILITY"};
  for (int i = 0; i < 20; ++i) details.violations.push_back({"ops[1].put_pool", "is too early"});
  const auto status =
      ToGrpcStatus(control::MakeError(absl::StatusCode::kUnimplemented, "no", std::move(details)));
  EXPECT_EQ(Find<google::rpc::BadRequest>(status)->field_violations_size(), 20);
}

TEST(StatusTest, ACutNeverLeavesHalfACharacter) {
  // Three bytes each, so that some cut falls inside one, whatever the limit.
  for (const std::string& prefix : {std::string(), std::string("a"), std::string("ab")}) {
    std::string text = prefix;
    for (int i = 0; i < 1'000; ++i) text += "\u20ac";
    const std::string cut = ToGrpcStatus(absl::InternalError(text)).error_message();
    ASSERT_THAT(cut, ::testing::EndsWith("..."));
    EXPECT_EQ((cut.size() - 3 - prefix.size()) % 3, 0u);
  }
}

}  // namespace
}  // namespace sidelb::rpc
