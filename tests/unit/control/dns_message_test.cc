// Records are read out of answers, and nothing out of what is no answer.
#include "server/providers/dns_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/dns.h"

namespace sidelb::providers {
namespace {

using testing::DnsMessage;
using testing::RecordA;
using testing::RecordAaaa;
using testing::RecordCname;
using testing::RecordSrv;

std::string Query(std::string_view name, uint16_t type) {
  std::string query("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  query += testing::DnsName(name);
  return query + std::string{'\0', static_cast<char>(type), '\0', '\x01'};
}

std::optional<std::vector<DnsRecord>> Read(std::string_view message, DnsType type) {
  return ReadAnswers({reinterpret_cast<const uint8_t*>(message.data()), message.size()}, type);
}

TEST(DnsMessageTest, ReadsTheRecordsOfTheTypeOnly) {
  const std::string message = DnsMessage(Query("web.example", 1), 0,
                                         {RecordCname("x.example", 7), RecordA("10.0.0.1", 9),
                                          RecordA("10.0.0.2", 3), RecordAaaa("2001:db8::1", 5)});
  const auto records = Read(message, DnsType::kA);
  ASSERT_TRUE(records);
  ASSERT_EQ(records->size(), 2u);
  EXPECT_EQ((*records)[0].address.ToString(), "10.0.0.1:0");
  EXPECT_EQ((*records)[0].ttl, absl::Seconds(7));
  EXPECT_EQ((*records)[1].ttl, absl::Seconds(3));
  EXPECT_EQ((*Read(message, DnsType::kAaaa))[0].address.ToString(), "[2001:db8::1]:0");
}

TEST(DnsMessageTest, ReadsSrv) {
  const auto records =
      Read(DnsMessage(Query("_w._tcp.example", 33), 0, {RecordSrv(1, 2, 3, "a.example", 4)}),
           DnsType::kSrv);
  ASSERT_TRUE(records);
  ASSERT_EQ(records->size(), 1u);
  EXPECT_EQ((*records)[0].target, "a.example");
  EXPECT_EQ((*records)[0].priority, 1);
  EXPECT_EQ((*records)[0].weight, 2);
  EXPECT_EQ((*records)[0].port, 3);
  EXPECT_EQ((*records)[0].ttl, absl::Seconds(4));
}

TEST(DnsMessageTest, ATtlWithTheHighestBitIsZero) {
  const auto records =
      Read(DnsMessage(Query("a", 1), 0, {RecordA("10.0.0.1", 0x80000001)}), DnsType::kA);
  EXPECT_EQ((*records)[0].ttl, absl::ZeroDuration());
}

TEST(DnsMessageTest, EveryCutMessageIsRefused) {
  for (const auto& [type, record] : std::vector<std::pair<DnsType, testing::DnsData>>{
           {DnsType::kA, RecordA("10.0.0.1")},
           {DnsType::kAaaa, RecordAaaa("2001:db8::1")},
           {DnsType::kSrv, RecordSrv(1, 2, 3, "a.example")}}) {
    const std::string message = DnsMessage(Query("web.example", 1), 0, {record});
    ASSERT_TRUE(Read(message, type));
    for (size_t size = 0; size < message.size(); ++size) {
      EXPECT_FALSE(Read(message.substr(0, size), type)) << size;
    }
  }
}

TEST(DnsMessageTest, RecordsOfAWrongSizeAreRefused) {
  EXPECT_FALSE(Read(DnsMessage(Query("a", 1), 0, {{testing::kTypeA, 0, "12345"}}), DnsType::kA));
  EXPECT_FALSE(
      Read(DnsMessage(Query("a", 1), 0, {{testing::kTypeAaaa, 0, "1234"}}), DnsType::kAaaa));
  EXPECT_FALSE(
      Read(DnsMessage(Query("a", 1), 0, {{testing::kTypeSrv, 0, "123456"}}), DnsType::kSrv));
}

}  // namespace
}  // namespace sidelb::providers
