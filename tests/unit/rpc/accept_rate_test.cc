#include "server/rpc/accept_rate.h"

#include <gtest/gtest.h>

#include "server/rpc/source_name.h"

namespace sidelb::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr AcceptRate::Time kStart{seconds(1'000)};

size_t TakeAll(AcceptRate* rate, const std::string& source, AcceptRate::Time now, size_t tries) {
  size_t taken = 0;
  for (size_t i = 0; i < tries; ++i) taken += rate->Take(source, now);
  return taken;
}

TEST(AcceptRateTest, ABurstOfTwoSecondsPassesThenTheRate) {
  AcceptRate rate(10);
  EXPECT_EQ(TakeAll(&rate, "a", kStart, 100), 20u);
  EXPECT_EQ(TakeAll(&rate, "a", kStart + milliseconds(500), 100), 5u);
  EXPECT_EQ(TakeAll(&rate, "a", kStart + seconds(60), 100), 20u);
}

TEST(AcceptRateTest, OneSourceTakesNothingFromAnother) {
  AcceptRate rate(10);
  EXPECT_EQ(TakeAll(&rate, "a", kStart, 100), 20u);
  EXPECT_EQ(TakeAll(&rate, "b", kStart, 100), 20u);
}

TEST(AcceptRateTest, ManySourcesShareOneBucketAndNoMemory) {
  AcceptRate rate(10);
  for (size_t i = 0; i < AcceptRate::kMaxSources; ++i) rate.Take(std::to_string(i), kStart);
  size_t taken = 0;
  for (size_t i = 0; i < 1'000; ++i) taken += rate.Take("new" + std::to_string(i), kStart);
  EXPECT_EQ(taken, 20u);
  EXPECT_LE(rate.sources(), AcceptRate::kMaxSources + 1);
  EXPECT_TRUE(rate.Take("late", kStart + seconds(60))) << "those that are quiet make room";
  EXPECT_LE(rate.sources(), 2u);
}

TEST(AcceptRateTest, ZeroIsNoBound) {
  AcceptRate rate(0);
  EXPECT_EQ(TakeAll(&rate, "a", kStart, 1'000), 1'000u);
}

TEST(SourceNameTest, IsAnAddressOrThePrefixOfAMachine) {
  EXPECT_EQ(SourceName(*Address::Parse("192.0.2.1:7")), "192.0.2.1");
  EXPECT_EQ(SourceName(*Address::Parse("[2001:db8:1:2:3:4:5:6]:7")), "2001:db8:1:2::/64");
  EXPECT_EQ(SourceName(*Address::Parse("[::1]:7")), "::1");
}

}  // namespace
}  // namespace sidelb::rpc
