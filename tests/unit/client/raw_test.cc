// raw, against a daemon that the test scripts.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/cli_run.h"

namespace sidelb::client {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(RawTest, SendsARequestAndPrintsTheResponse) {
  ScriptedDaemon daemon;
  pb::GetInfoResponse info;
  info.set_version("1.2.3");
  daemon.raw_responses = {info.SerializeAsString()};

  const Outcome outcome = RunLine(&daemon, {"raw", "GetInfo", "-o", "jsonl"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kOk);
  EXPECT_THAT(outcome.out, HasSubstr("{\"version\":\"1.2.3\","));
  EXPECT_THAT(outcome.out, HasSubstr("\"activeConnections\":\"0\""));
  ASSERT_THAT(daemon.raw, SizeIs(1));
  EXPECT_EQ(daemon.raw[0].first, "GetInfo");
}

TEST(RawTest, ReadsTheRequestFromTheLineOrFromStandardInput) {
  const std::string json = R"({"filter": {"pools": ["web"]}, "view": "VIEW_CONFIG"})";
  for (const auto& [word, input] : {std::pair<std::string, std::string>{json, ""}, {"-", json}}) {
    ScriptedDaemon daemon;

    EXPECT_EQ(RunLine(&daemon, {"raw", "GetState", word}, input).exit_code, ExitCode::kOk);

    ASSERT_THAT(daemon.raw, SizeIs(1));
    pb::GetStateRequest request;
    ASSERT_TRUE(request.ParseFromString(daemon.raw[0].second));
    EXPECT_EQ(request.filter().pools(0), "web");
    EXPECT_EQ(request.view(), pb::VIEW_CONFIG);
  }
}

TEST(RawTest, PrintsALineForEachMessageOfAStream) {
  ScriptedDaemon daemon;
  pb::WatchResponse message;
  message.set_epoch("e");
  daemon.raw_responses = {message.SerializeAsString(), message.SerializeAsString()};

  const Outcome outcome = RunLine(&daemon, {"raw", "Watch", "{}"});

  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2);
}

TEST(RawTest, ListsTheMethodsThatThereAre) {
  ScriptedDaemon daemon;

  const Outcome outcome = RunLine(&daemon, {"raw", "Aply", "{}"});

  EXPECT_EQ(outcome.exit_code, ExitCode::kUsage);
  EXPECT_THAT(outcome.err, HasSubstr("\"Aply\" is not allowed; allowed: Apply, GetState, Watch"));
  EXPECT_THAT(daemon.raw, IsEmpty());
}

TEST(RawTest, SaysWhereARequestIsWrong) {
  ScriptedDaemon daemon;
  const auto error = [&daemon](const std::string& json) {
    const Outcome outcome = RunLine(&daemon, {"raw", "Apply", json});
    EXPECT_EQ(outcome.exit_code, ExitCode::kUsage);
    return outcome.err;
  };

  EXPECT_THAT(error(R"({"ops": [{"putPool": {"nam": "web"}}]})"), HasSubstr("nam"));
  EXPECT_THAT(error(R"({"ops": [{"putPool": {"mode": 7.5}}]})"), HasSubstr("mode"));
  EXPECT_THAT(error("{"), HasSubstr("line 1, column 2"));
  EXPECT_THAT(error("@/no/such/file"), HasSubstr("/no/such/file"));
  EXPECT_THAT(daemon.raw, IsEmpty());
}

TEST(RawTest, TakesNoOptionsOfWrites) {
  ScriptedDaemon daemon;

  EXPECT_EQ(RunLine(&daemon, {"raw", "Apply", "{}", "--dry-run"}).exit_code, ExitCode::kUsage);
}

}  // namespace
}  // namespace sidelb::client
