#include "server/control/request_log.h"

#include <gtest/gtest.h>

#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

constexpr absl::Time kStart = absl::UnixEpoch();

RequestLog::Entry Entry(uint64_t number, std::string id, absl::Time time) {
  return {.request = {.number = number, .id = std::move(id), .payload = 7, .time = time}};
}

TEST(RequestLogTest, AnAnswerIsKeptForTenMinutes) {
  RequestLog log;
  log.Add(Entry(log.TakeNumber(), "a", kStart), kStart);

  EXPECT_EQ(log.Find("b", kStart), nullptr);
  ASSERT_NE(log.Find("a", kStart + absl::Minutes(10) - absl::Seconds(1)), nullptr);
  EXPECT_EQ(log.Find("a", kStart + absl::Minutes(10)), nullptr);
  EXPECT_EQ(log.size(), 0u);
  EXPECT_EQ(log.oldest(), 2u);
}

TEST(RequestLogTest, TheOldestGiveWayWhenThereAreTooMany) {
  RequestLog log;
  for (size_t i = 0; i < RequestLog::kMaxKept + 3; ++i) {
    log.Add(Entry(log.TakeNumber(), std::to_string(i), kStart), kStart);
  }

  EXPECT_EQ(log.size(), RequestLog::kMaxKept);
  EXPECT_EQ(log.Find("2", kStart), nullptr);
  EXPECT_NE(log.Find("3", kStart), nullptr);
  EXPECT_EQ(log.oldest(), 4u);
}

TEST(RequestLogTest, NumbersGoOnBehindThoseThatWereStored) {
  RequestLog log;
  log.Add(Entry(41, "a", kStart), kStart);

  EXPECT_EQ(log.TakeNumber(), 42u);
}

TEST(RequestLogTest, AnIdIsAtMost64PrintableCharacters) {
  EXPECT_TRUE(ValidateRequestId("").ok());
  EXPECT_TRUE(ValidateRequestId(std::string(64, '~')).ok());
  for (const std::string& wrong :
       {std::string(65, 'a'), std::string("a\n"), std::string("\xc3\xa9")}) {
    EXPECT_EQ(Field(ValidateRequestId(wrong)), "request_id");
    EXPECT_EQ(Reason(ValidateRequestId(wrong)), "BAD_FIELD");
  }
}

}  // namespace
}  // namespace sidelb::control
