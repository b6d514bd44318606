#include "server/rpc/convert_stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>

#include "server/control/errors.h"
#include "server/rpc/limits.h"

namespace sidelb::rpc {
namespace {

using ::testing::HasSubstr;

control::StatRow FilledRow() {
  control::StatRow row{.kind = control::StatKind::kBackend,
                       .name = "web",
                       .address = *Address::Parse("10.0.0.1:80"),
                       .active = 1,
                       .peak_active = 2};
  control::Totals& totals = row.totals;
  totals.sessions = 3;
  totals.bytes_in = 4;
  totals.bytes_out = 5;
  totals.packets_in = 6;
  totals.packets_out = 7;
  totals.packets_dropped = 70;
  totals.connect_errors = 8;
  totals.rejected = 9;
  totals.retries = 10;
  totals.connect_timeouts = 11;
  totals.selected = 12;
  totals.probes = 13;
  totals.probes_failed = 14;
  totals.closes[static_cast<size_t>(CloseReason::kFinished)] = 15;
  totals.closes[static_cast<size_t>(CloseReason::kDownstreamReset)] = 16;
  totals.closes[static_cast<size_t>(CloseReason::kUpstreamReset)] = 17;
  LatencyHistogram latency;
  for (int i = 0; i < 98; ++i) latency.Record(1'000);
  for (int i = 0; i < 2; ++i) latency.Record(2'000'000);
  totals.connect_latency.Add(latency);
  return row;
}

TEST(ConvertStatsTest, CarriesEveryField) {
  const pb::StatRow proto = ToProto(FilledRow());
  EXPECT_EQ(proto.kind(), pb::OBJECT_KIND_BACKEND);
  EXPECT_EQ(proto.name(), "web");
  EXPECT_EQ(proto.address(), "10.0.0.1:80");
  EXPECT_EQ(proto.active(), 1u);
  EXPECT_EQ(proto.peak_active(), 2u);
  EXPECT_EQ(proto.total(), 3u);
  EXPECT_EQ(proto.bytes_in(), 4u);
  EXPECT_EQ(proto.bytes_out(), 5u);
  EXPECT_EQ(proto.packets_in(), 6u);
  EXPECT_EQ(proto.packets_out(), 7u);
  EXPECT_EQ(proto.packets_dropped(), 70u);
  EXPECT_EQ(proto.connect_errors(), 8u);
  EXPECT_EQ(proto.rejected(), 9u);
  EXPECT_EQ(proto.retries(), 10u);
  EXPECT_EQ(proto.timeouts(), 11u);
  EXPECT_EQ(proto.resets(), 33u);
  EXPECT_EQ(proto.selected(), 12u);
  EXPECT_EQ(proto.probes(), 13u);
  EXPECT_EQ(proto.probes_failed(), 14u);
  EXPECT_NEAR(proto.connect_latency_p50().nanos(), 1'000'000, 300'000);
  EXPECT_NEAR(static_cast<double>(proto.connect_latency_p99().seconds()), 2, 1);
  ASSERT_EQ(proto.closes_size(), 3) << "only what has happened";
  EXPECT_EQ(proto.closes(0).reason(), pb::CLOSE_REASON_FINISHED);
  EXPECT_EQ(proto.closes(0).count(), 15u);
  EXPECT_EQ(proto.closes(2).reason(), pb::CLOSE_REASON_UPSTREAM_RESET);
}

TEST(ConvertStatsTest, WhatIsNotKnownIsAbsent) {
  const pb::StatRow proto = ToProto(control::StatRow{.kind = control::StatKind::kPool});
  EXPECT_EQ(proto.kind(), pb::OBJECT_KIND_POOL);
  EXPECT_EQ(proto.address(), "");
  EXPECT_FALSE(proto.has_connect_latency_p50());
  EXPECT_FALSE(proto.has_connect_latency_p99());
  EXPECT_EQ(proto.closes_size(), 0);
}

TEST(ConvertStatsTest, CloseReasonsHaveTheNumbersOfTheApi) {
  for (size_t i = 0; i < kCloseReasonCount; ++i) {
    std::string name = "CLOSE_REASON_";
    for (char c : CloseReasonName(static_cast<CloseReason>(i))) {
      name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    EXPECT_EQ(pb::CloseReason_Name(static_cast<pb::CloseReason>(i)), name);
  }
}

TEST(ConvertStatsTest, AReplyThatIsTooLargeIsRefusedByItsFilter) {
  control::Stats stats;
  stats.time = absl::FromUnixSeconds(20);
  stats.since = absl::FromUnixSeconds(10);
  stats.rows.assign(10'000, FilledRow());
  const pb::GetStatsResponse fits = ToProto(stats);
  EXPECT_EQ(fits.time().seconds(), 20);
  EXPECT_EQ(fits.since().seconds(), 10);
  EXPECT_EQ(fits.rows_size(), 10'000);
  EXPECT_TRUE(CheckSize(fits).ok()) << "10 000 backends fit";

  stats.rows.assign(70'000, FilledRow());
  const absl::Status status = CheckSize(ToProto(stats));
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(control::GetErrorDetails(status)->reason, "REPLY_TOO_LARGE");
  EXPECT_THAT(std::string(status.message()), HasSubstr("filter"));
}

}  // namespace
}  // namespace sidelb::rpc
