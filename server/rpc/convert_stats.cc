#include "server/rpc/convert_stats.h"

#include <chrono>
#include <string>

#include "fmt/format.h"
#include "server/control/errors.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/limits.h"

namespace sidelb::rpc {
namespace {

pb::ObjectKind KindToProto(control::StatKind kind) {
  switch (kind) {
    case control::StatKind::kListener:
      return pb::OBJECT_KIND_LISTENER;
    case control::StatKind::kPool:
      return pb::OBJECT_KIND_POOL;
    case control::StatKind::kBackend:
      return pb::OBJECT_KIND_BACKEND;
  }
  return pb::OBJECT_KIND_UNSPECIFIED;
}

uint64_t Closes(const control::Totals& totals, CloseReason reason) {
  return totals.closes[static_cast<size_t>(reason)];
}

google::protobuf::Duration DurationToProto(std::chrono::microseconds duration) {
  return ToProto(absl::FromChrono(duration));
}

}  // namespace

// Both are numbered alike.
static_assert(kCloseReasonCount == size_t{pb::CloseReason_ARRAYSIZE});

pb::StatRow ToProto(const control::StatRow& row) {
  const control::Totals& totals = row.totals;
  pb::StatRow proto;
  proto.set_kind(KindToProto(row.kind));
  proto.set_name(row.name);
  if (row.address.is_specified()) proto.set_address(row.address.ToString());
  proto.set_active(row.active);
  proto.set_peak_active(row.peak_active);
  proto.set_total(totals.sessions);
  proto.set_bytes_in(totals.bytes_in);
  proto.set_bytes_out(totals.bytes_out);
  proto.set_packets_in(totals.packets_in);
  proto.set_packets_out(totals.packets_out);
  proto.set_packets_dropped(totals.packets_dropped);
  proto.set_connect_errors(totals.connect_errors);
  proto.set_rejected(totals.rejected);
  proto.set_retries(totals.retries);
  proto.set_timeouts(totals.connect_timeouts);
  proto.set_resets(Closes(totals, CloseReason::kDownstreamReset) +
                   Closes(totals, CloseReason::kUpstreamReset));
  proto.set_selected(totals.selected);
  proto.set_probes(totals.probes);
  proto.set_probes_failed(totals.probes_failed);
  if (const auto p50 = totals.connect_latency.Percentile(0.5)) {
    *proto.mutable_connect_latency_p50() = DurationToProto(*p50);
  }
  if (const auto p99 = totals.connect_latency.Percentile(0.99)) {
    *proto.mutable_connect_latency_p99() = DurationToProto(*p99);
  }
  for (size_t i = 0; i < kCloseReasonCount; ++i) {
    if (totals.closes[i] == 0) continue;
    pb::CloseCount* close = proto.add_closes();
    close->set_reason(static_cast<pb::CloseReason>(i));
    close->set_count(totals.closes[i]);
  }
  return proto;
}

pb::GetStatsResponse ToProto(const control::Stats& stats) {
  pb::GetStatsResponse proto;
  *proto.mutable_time() = ToProto(stats.time);
  *proto.mutable_since() = ToProto(stats.since);
  proto.mutable_rows()->Reserve(static_cast<int>(stats.rows.size()));
  for (const control::StatRow& row : stats.rows) *proto.add_rows() = ToProto(row);
  return proto;
}

absl::Status CheckSize(const pb::GetStatsResponse& response) {
  if (response.ByteSizeLong() <= kMaxMessageBytes) return absl::OkStatus();
  return control::MakeError(
      absl::StatusCode::kResourceExhausted,
      fmt::format("filter: it selects {} rows, more than a reply of {} bytes holds; ask for fewer "
                  "pools or kinds at a time",
                  response.rows_size(), kMaxMessageBytes),
      {.reason = "REPLY_TOO_LARGE", .metadata = {{"rows", std::to_string(response.rows_size())}}});
}

}  // namespace sidelb::rpc
