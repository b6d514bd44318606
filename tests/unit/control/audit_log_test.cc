#include "server/control/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sidelb::control {
namespace {

using ::testing::ElementsAre;

std::vector<uint64_t> AuditNumbers(const AuditPage& page) {
  std::vector<uint64_t> numbers;
  for (const AuditEntry& entry : page.entries) numbers.push_back(entry.number);
  return numbers;
}

TEST(AuditLogTest, PagesGoFromTheLatestBack) {
  AuditLog log;
  for (uint64_t i = 1; i <= 5; ++i) {
    log.Add({.number = log.TakeNumber(), .revision = 10 + i, .owner = i % 2 ? "api:a" : "api:b"});
  }

  const AuditPage first = log.List({.limit = 2});
  EXPECT_THAT(AuditNumbers(first), ElementsAre(5, 4));
  const AuditPage second = log.List({.before = first.next_before, .limit = 3});
  EXPECT_THAT(AuditNumbers(second), ElementsAre(3, 2, 1));
  EXPECT_EQ(second.next_before, 0u);
  EXPECT_THAT(AuditNumbers(log.List({.owner = "api:a"})), ElementsAre(5, 3, 1));
  EXPECT_THAT(AuditNumbers(log.List({.since_revision = 14})), ElementsAre(5, 4));
}

TEST(AuditLogTest, KeepsTheLastThousandInTheOrderOfTheirNumbers) {
  AuditLog log;
  log.Add({.number = 2});
  log.Add({.number = 1});
  EXPECT_THAT(AuditNumbers(log.List({})), ElementsAre(2, 1));
  for (uint64_t i = 3; i <= AuditLog::kMaxKept + 2; ++i) log.Add({.number = i});

  EXPECT_EQ(log.oldest(), 3u);
  EXPECT_EQ(log.TakeNumber(), AuditLog::kMaxKept + 3);
}

TEST(AuditLogTest, ALineIsOneJsonObject) {
  EXPECT_EQ(AuditLine({.number = 1,
                       .revision = 7,
                       .time = absl::FromUnixMillis(1'500),
                       .principal = "uid:0",
                       .owner = "api:a",
                       .summary = "say \"hi\"",
                       .code = 5,
                       .error_reason = "POOL_NOT_FOUND"}),
            R"({"number":1,"revision":7,"time":"1970-01-01T00:00:01.500Z","code":"NOT_FOUND",)"
            R"("reason":"POOL_NOT_FOUND","principal":"uid:0","owner":"api:a",)"
            R"("summary":"say \"hi\""})");
}

}  // namespace
}  // namespace sidelb::control
