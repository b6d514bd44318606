#include "client/cli/values.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sidelb::client {
namespace {

using testing::HasSubstr;

TEST(ParseDurationTest, TakesUnitsAndTheirCombinations) {
  EXPECT_EQ(*ParseDuration("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(*ParseDuration("30s"), absl::Seconds(30));
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("0"), absl::ZeroDuration());
}

TEST(ParseDurationTest, NamesWhatItRefuses) {
  for (const char* text : {"", "5", "abc", "-3s", "inf", "5 s", "1d", "300000h"}) {
    const auto parsed = ParseDuration(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr('"' + std::string(text) + '"'));
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("1h30m"));
  }
}

TEST(DurationProtoTest, KeepsNanosecondsBothWays) {
  const absl::Duration duration = absl::Seconds(3) + absl::Nanoseconds(7);

  const google::protobuf::Duration proto = ToProto(duration);

  EXPECT_EQ(proto.seconds(), 3);
  EXPECT_EQ(proto.nanos(), 7);
  EXPECT_EQ(FromProto(proto), duration);
}

TEST(ParseModeTest, TakesEverySpelling) {
  for (const char* text : {"round-robin", "round_robin", "RoundRobin", "rr"}) {
    EXPECT_EQ(*ParseMode(text), pb::MODE_ROUND_ROBIN) << text;
  }
  EXPECT_EQ(*ParseMode("leastconn"), pb::MODE_LEAST_CONNECTIONS);
  EXPECT_EQ(*ParseMode("least-connections"), pb::MODE_LEAST_CONNECTIONS);
  EXPECT_EQ(*ParseMode("maglev"), pb::MODE_MAGLEV);
  EXPECT_EQ(*ParseMode("source-hash"), pb::MODE_SOURCE_HASH);
}

TEST(ParseModeTest, ListsTheModesWhenItKnowsNone) {
  const auto mode = ParseMode("fastest");

  EXPECT_EQ(mode.status().message(),
            "\"fastest\" is not allowed; allowed: round-robin, least-connections, p2c, random, "
            "source-hash, maglev");
}

TEST(ParseAddressTest, MakesAddressesCanonical) {
  EXPECT_EQ(*ParseAddress("10.0.0.5:80", PortZero::kRefused), "10.0.0.5:80");
  EXPECT_EQ(*ParseAddress("[2001:DB8:0::0:1]:080", PortZero::kRefused), "[2001:db8::1]:80");
  EXPECT_EQ(*ParseAddress("[::ffff:10.0.0.5]:80", PortZero::kRefused), "10.0.0.5:80");
  EXPECT_EQ(*ParseAddress("[::]:0", PortZero::kAllowed), "[::]:0");
}

TEST(ParseAddressTest, NamesWhatItRefuses) {
  const auto message = [](std::string_view text) {
    return std::string(ParseAddress(text, PortZero::kRefused).status().message());
  };
  EXPECT_THAT(message("10.0.0.5"), HasSubstr("\"10.0.0.5\" has no port;"));
  EXPECT_THAT(message("[::1]"), HasSubstr("has no port;"));
  EXPECT_THAT(message("10.0.0.5:0"), HasSubstr("has no port from 1 to 65535"));
  EXPECT_THAT(message("10.0.0.5:65536"), HasSubstr("has no port from 1 to 65535"));
  EXPECT_THAT(message("10.0.0.5:80x"), HasSubstr("has no port from 1 to 65535"));
  EXPECT_THAT(message("10.0.0.5:"), HasSubstr("has no port from 1 to 65535"));
  EXPECT_THAT(message("localhost:80"), HasSubstr("host names are not resolved"));
  EXPECT_THAT(message("2001:db8::1:80"), HasSubstr("without brackets"));
  EXPECT_THAT(message("[10.0.0.5]:80"), HasSubstr("is not an IPv6 address"));
  EXPECT_THAT(message("[fe80::1%eth0]:80"), HasSubstr("is not an IPv6 address"));
  EXPECT_THAT(message("10.0.0.05:80"), HasSubstr("is not an IP address"));
}

TEST(ParseAddressTest, RefusesAZeroByteThatWouldHideTheRest) {
  EXPECT_FALSE(ParseAddress(std::string_view("10.0.0.5\0.9:80", 14), PortZero::kRefused).ok());
  EXPECT_FALSE(ParseAddress(std::string_view("[::1\0:9]:80", 11), PortZero::kRefused).ok());
}

TEST(ParseTagTest, SplitsAtTheFirstEquals) {
  EXPECT_EQ(*ParseTag("a=b=c"), std::pair(std::string("a"), std::string("b=c")));
  EXPECT_EQ(*ParseTag("a="), std::pair(std::string("a"), std::string()));
  EXPECT_FALSE(ParseTag("a").ok());
  EXPECT_FALSE(ParseTag("=b").ok());
}

TEST(ParseNumberTest, HoldsTheBounds) {
  EXPECT_EQ(*ParseNumber("65535", 0, 65'535), 65'535u);
  EXPECT_EQ(ParseNumber("70000", 0, 65'535).status().message(),
            "\"70000\" is not a number from 0 to 65535");
  EXPECT_FALSE(ParseNumber("-1", 0, 65'535).ok());
  EXPECT_FALSE(ParseNumber("1 ", 0, 65'535).ok());
  EXPECT_FALSE(ParseNumber("0x10", 0, 65'535).ok());
  EXPECT_FALSE(ParseNumber("18446744073709551616", 0, UINT64_MAX).ok());
}

TEST(WordTest, IsEmptyForEnumeratorsOfALaterVersion) {
  EXPECT_EQ(Word(pb::Mode_Name(pb::MODE_LEAST_CONNECTIONS), "MODE_"), "least-connections");
  EXPECT_EQ(Word(pb::Mode_Name(static_cast<pb::Mode>(99)), "MODE_"), "");
}

}  // namespace
}  // namespace sidelb::client
