// Writes that are sent again, against a clock that the test turns.
#include "client/cli/retry.h"

#include <deque>

#include "client/error_details.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sidelb::client {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Eq;
using testing::IsEmpty;
using testing::SizeIs;

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

struct Attempts {
  std::deque<absl::StatusOr<pb::ApplyResponse>> answers;  // the last one again and again
  std::vector<std::string> ids;
  std::vector<absl::Duration> pauses;
  absl::Time now = absl::UnixEpoch();

  absl::StatusOr<pb::ApplyResponse> Run(const std::string& id) {
    pb::ApplyRequest request;
    request.set_request_id(id);
    return ApplyWithRetries(request, absl::Seconds(5),
                            [this](const pb::ApplyRequest& sent) {
                              ids.push_back(sent.request_id());
                              auto answer = answers.front();
                              if (answers.size() > 1) answers.pop_front();
                              return answer;
                            },
                            {.now = [this] { return now; },
                             .sleep =
                                 [this](absl::Duration pause) {
                                   pauses.push_back(pause);
                                   now += pause;
                                 }});
  }
};

absl::Status Lost() { return MakeError(kUnavailable, kReasonConnectionLost, "lost"); }
absl::Status Away() { return MakeError(kUnavailable, kReasonUnreachable, "away"); }
std::string Reason(const absl::StatusOr<pb::ApplyResponse>& response) {
  return GetErrorDetails(response.status()).reason;
}

TEST(RetryTest, SendsTheSameRequestAgainUntilItIsAnswered) {
  Attempts attempts;
  attempts.answers = {Lost(), Away(), Away(), pb::ApplyResponse()};

  EXPECT_TRUE(attempts.Run("id-1").ok());
  EXPECT_THAT(attempts.ids, SizeIs(4));
  EXPECT_THAT(attempts.ids, Each(Eq("id-1")));
  EXPECT_THAT(attempts.pauses, ElementsAre(absl::Milliseconds(100), absl::Milliseconds(200),
                                           absl::Milliseconds(400)));
}

TEST(RetryTest, DoesNotWaitForADaemonThatIsAway) {
  Attempts attempts;
  attempts.answers = {Away()};

  EXPECT_EQ(Reason(attempts.Run("id-1")), kReasonUnreachable);
  EXPECT_THAT(attempts.ids, SizeIs(1));
}

TEST(RetryTest, GivesUpInTimeAndSaysThatTheChangeMayBeMade) {
  Attempts attempts;
  attempts.answers = {Lost(), Away()};

  EXPECT_EQ(Reason(attempts.Run("id-1")), kReasonConnectionLost);
  EXPECT_LE(attempts.now, absl::UnixEpoch() + absl::Seconds(5));
  EXPECT_GT(attempts.now, absl::UnixEpoch() + absl::Seconds(4));
}

TEST(RetryTest, TellsWhatTheDaemonSaysWhenNothingWasLost) {
  Attempts attempts;
  attempts.answers = {MakeError(kUnavailable, "STORE_UNAVAILABLE", "disk full")};

  EXPECT_EQ(Reason(attempts.Run("id-1")), "STORE_UNAVAILABLE");
  EXPECT_GT(attempts.ids.size(), 3u);
}

TEST(RetryTest, ARefusalEndsIt) {
  for (const auto code : {absl::StatusCode::kAborted, absl::StatusCode::kInvalidArgument,
                          absl::StatusCode::kFailedPrecondition}) {
    Attempts attempts;
    attempts.answers = {Lost(), MakeError(code, "NO", "refused")};

    EXPECT_EQ(Reason(attempts.Run("id-1")), "NO");
    EXPECT_THAT(attempts.ids, SizeIs(2));
  }
}

TEST(RetryTest, DoesNotRepeatWhatGotNoAnswerInTime) {
  Attempts attempts;
  attempts.answers = {MakeError(absl::StatusCode::kDeadlineExceeded, kReasonTimeout, "late")};

  EXPECT_EQ(Reason(attempts.Run("id-1")), kReasonTimeout);
  EXPECT_THAT(attempts.pauses, IsEmpty());
}

TEST(RetryTest, SendsOnceWhatHasNoId) {
  Attempts attempts;
  attempts.answers = {Lost()};

  EXPECT_EQ(Reason(attempts.Run("")), kReasonConnectionLost);
  EXPECT_THAT(attempts.ids, SizeIs(1));
}

TEST(RetryTest, MakesUpIdsThatTheDaemonTakes) {
  const std::string id = NewRequestId();

  EXPECT_THAT(id, SizeIs(32));
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(id, NewRequestId());
}

}  // namespace
}  // namespace sidelb::client
