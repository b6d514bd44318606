#include "client/cli/exit_code.h"
#include "client/error_details.h"
#include "client/sidelb_client.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

namespace sidelb::client {
namespace {

std::string SerializedStatus() {
  google::rpc::Status status;
  status.set_code(3);
  google::rpc::ErrorInfo info;
  info.set_reason("BAD_FIELD");
  info.set_domain("sidelb");
  (*info.mutable_metadata())["value"] = "70000";
  status.add_details()->PackFrom(info);
  google::rpc::BadRequest bad;
  auto* violation = bad.add_field_violations();
  violation->set_field("ops[0].put_pool.name");
  violation->set_description("is empty");
  status.add_details()->PackFrom(bad);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  status.add_details()->PackFrom(retry);
  return status.SerializeAsString();
}

TEST(ErrorDetailsTest, AreReadFromTheTrailer) {
  const absl::Status status =
      WithSerializedDetails(absl::InvalidArgumentError("m"), SerializedStatus());

  const ErrorDetails details = GetErrorDetails(status);

  EXPECT_EQ(details.reason, "BAD_FIELD");
  EXPECT_EQ(details.domain, "sidelb");
  EXPECT_EQ(details.metadata.at("value"), "70000");
  ASSERT_EQ(details.violations.size(), 1u);
  EXPECT_EQ(details.violations[0].field, "ops[0].put_pool.name");
  EXPECT_EQ(details.violations[0].description, "is empty");
  EXPECT_EQ(details.retry_delay, absl::Milliseconds(500));
}

TEST(ErrorDetailsTest, SurviveTheWayBack) {
  const absl::Status status =
      WithSerializedDetails(absl::InvalidArgumentError("m"), SerializedStatus());

  const google::rpc::Status rpc = ToRpcStatus(status);

  EXPECT_EQ(rpc.code(), 3);
  EXPECT_EQ(rpc.message(), "m");
  EXPECT_EQ(rpc.details_size(), 3);
  EXPECT_EQ(GetErrorDetails(
                WithSerializedDetails(absl::InvalidArgumentError("m"), rpc.SerializeAsString()))
                .reason,
            "BAD_FIELD");
}

TEST(ErrorDetailsTest, AreEmptyWhereThereAreNone) {
  const absl::Status status = WithSerializedDetails(absl::AbortedError("m"), "\xff garbage");

  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_EQ(GetErrorDetails(status).reason, "");
  EXPECT_FALSE(GetErrorDetails(status).retry_delay.has_value());
}

TEST(ExitCodeTest, FollowsTheCode) {
  EXPECT_EQ(ExitCodeFor(absl::OkStatus()), ExitCode::kOk);
  EXPECT_EQ(ExitCodeFor(absl::InvalidArgumentError("")), ExitCode::kRejected);
  EXPECT_EQ(ExitCodeFor(absl::UnimplementedError("")), ExitCode::kRejected);
  EXPECT_EQ(ExitCodeFor(absl::ResourceExhaustedError("")), ExitCode::kRejected);
  EXPECT_EQ(ExitCodeFor(absl::AbortedError("")), ExitCode::kConflict);
  EXPECT_EQ(ExitCodeFor(absl::AlreadyExistsError("")), ExitCode::kConflict);
  EXPECT_EQ(ExitCodeFor(absl::FailedPreconditionError("")), ExitCode::kConflict);
  EXPECT_EQ(ExitCodeFor(absl::NotFoundError("")), ExitCode::kNotFound);
  EXPECT_EQ(ExitCodeFor(absl::UnavailableError("")), ExitCode::kUnreachable);
  EXPECT_EQ(ExitCodeFor(absl::DeadlineExceededError("")), ExitCode::kUnreachable);
  EXPECT_EQ(ExitCodeFor(absl::PermissionDeniedError("")), ExitCode::kNotPermitted);
  EXPECT_EQ(ExitCodeFor(absl::UnauthenticatedError("")), ExitCode::kNotPermitted);
}

TEST(ExitCodeTest, TellsTheCallersMistakesFromTheDaemonsRefusals) {
  EXPECT_EQ(ExitCodeFor(UsageError("bad flag")), ExitCode::kUsage);
  EXPECT_EQ(ExitCodeFor(ParseEndpoint("nonsense").status()), ExitCode::kUsage);
}

TEST(WaitTimeTest, IsWhatTheDaemonMayHoldTheAnswerBack) {
  pb::ApplyRequest request;
  EXPECT_EQ(WaitTime(request), absl::Seconds(5));

  request.set_wait(pb::WAIT_FOR_DRAINED);
  EXPECT_EQ(WaitTime(request), absl::Hours(1));

  request.mutable_wait_timeout()->set_seconds(70);
  EXPECT_EQ(WaitTime(request), absl::Seconds(70));

  request.set_wait(pb::WAIT_FOR_COMMITTED);
  EXPECT_EQ(WaitTime(request), absl::ZeroDuration());

  request.set_wait(pb::WAIT_FOR_DRAINED);
  request.set_validate_only(true);
  EXPECT_EQ(WaitTime(request), absl::ZeroDuration());
}

}  // namespace
}  // namespace sidelb::client
