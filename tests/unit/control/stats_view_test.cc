// Rows of GetStats from counters that are written by hand.
#include "server/control/stats_view.h"

#include <gtest/gtest.h>

#include "tests/unit/control/batch_support.h"

namespace sidelb::control {
namespace {

using std::chrono::microseconds;

constexpr size_t kShards = 3;

void Close(std::array<Counter, kCloseReasonCount>* closes, CloseReason reason, uint64_t count) {
  (*closes)[static_cast<size_t>(reason)].Add(count);
}

uint64_t Closes(const StatRow& row, CloseReason reason) {
  return row.totals.closes[static_cast<size_t>(reason)];
}

StateView::BackendEntry BackendEntry(uint64_t active) {
  BackendObject object;
  object.pool = "web";
  object.address = At("10.0.0.1:80");
  return {.object = std::make_shared<BackendObject>(object),
          .status = {.active_connections = active}};
}

StateView::PoolEntry PoolEntry(uint64_t active) {
  return {.object = std::make_shared<PoolObject>(PoolObject{.spec = {.name = "web"}}),
          .status = {.active_connections = active}};
}

StateView::ListenerEntry ListenerEntry(uint64_t active) {
  return {.object = std::make_shared<ListenerObject>(ListenerObject{.spec = {.name = "http"}}),
          .status = {.active_connections = active, .bound_address = At("127.0.0.1:80")}};
}

TEST(StatsViewTest, ABackendsRowIsTheSumOfItsShards) {
  Backend backend(At("10.0.0.1:80"), kShards);
  uint64_t n = 1;
  for (size_t shard : {0u, 2u}) {  // shard 1 has never used it
    BackendCounters& counters = backend.Shard(shard)->counters;
    counters.selected.Add(n);
    counters.sessions.Add(2 * n);
    counters.bytes_in.Add(3 * n);
    counters.bytes_out.Add(4 * n);
    counters.datagrams_in.Add(5 * n);
    counters.datagrams_out.Add(6 * n);
    counters.connect_errors.Add(7 * n);
    counters.connect_timeouts.Add(8 * n);
    counters.retries.Add(9 * n);
    counters.connect_latency.Record(100);
    Close(&counters.closes, CloseReason::kUpstreamReset, n);
    n = 10;
  }
  ProbeCounters probes;
  probes.started.Add(5);
  probes.failed.Add(2);
  Totals totals;
  totals.Add(backend);
  totals.Add(probes);

  const StatRow row = BackendRow(BackendEntry(4), backend, totals);

  EXPECT_EQ(row.kind, StatKind::kBackend);
  EXPECT_EQ(row.name, "web");
  EXPECT_EQ(row.address, At("10.0.0.1:80"));
  EXPECT_EQ(row.active, 4u);
  EXPECT_EQ(row.totals.selected, 11u);
  EXPECT_EQ(row.totals.sessions, 22u);
  EXPECT_EQ(row.totals.bytes_in, 33u);
  EXPECT_EQ(row.totals.bytes_out, 44u);
  EXPECT_EQ(row.totals.packets_in, 55u);
  EXPECT_EQ(row.totals.packets_out, 66u);
  EXPECT_EQ(row.totals.connect_errors, 77u);
  EXPECT_EQ(row.totals.connect_timeouts, 88u);
  EXPECT_EQ(row.totals.retries, 99u);
  EXPECT_EQ(row.totals.rejected, 0u);
  EXPECT_EQ(row.totals.probes, 5u);
  EXPECT_EQ(row.totals.probes_failed, 2u);
  EXPECT_EQ(Closes(row, CloseReason::kUpstreamReset), 11u);
  EXPECT_GT(row.totals.connect_latency.Percentile(0.5), microseconds(60));
}

TEST(StatsViewTest, APeakIsTheHighestThatAShardSawOrWhatIsThereNow) {
  Backend backend(At("10.0.0.1:80"), kShards);
  EXPECT_EQ(BackendRow(BackendEntry(2), backend, {}).peak_active, 2u);
  backend.Shard(0)->counters.peak_active.Raise(3);
  backend.Shard(1)->counters.peak_active.Raise(7);
  EXPECT_EQ(BackendRow(BackendEntry(2), backend, {}).peak_active, 7u);
  EXPECT_EQ(BackendRow(BackendEntry(9), backend, {}).peak_active, 9u);
}

TEST(StatsViewTest, APoolsRowAddsWhatHasNoBackend) {
  PoolLoad load(kShards);
  load.counters[1].peak_active.Raise(6);
  Close(&load.counters[0].closes, CloseReason::kNoBackend, 2);
  Close(&load.counters[2].closes, CloseReason::kConnectTimeout, 3);
  Totals of_backends;
  of_backends.sessions = 10;
  of_backends.closes[static_cast<size_t>(CloseReason::kFinished)] = 8;

  const StatRow row = PoolRow(PoolEntry(2), load, of_backends);

  EXPECT_EQ(row.kind, StatKind::kPool);
  EXPECT_EQ(row.name, "web");
  EXPECT_FALSE(row.address.is_specified());
  EXPECT_EQ(row.active, 2u);
  EXPECT_EQ(row.peak_active, 6u);
  EXPECT_EQ(row.totals.sessions, 10u);
  EXPECT_EQ(row.totals.rejected, 5u);
  EXPECT_EQ(Closes(row, CloseReason::kFinished), 8u);
  EXPECT_EQ(Closes(row, CloseReason::kNoBackend), 2u);
}

TEST(StatsViewTest, AListenersRejectionsAreSessionsThatGotNoBackend) {
  ListenerLoad load(kShards);
  ListenerCounters& counters = load.counters[1];
  counters.accepted.Add(100);
  counters.peak_active.Raise(20);
  counters.datagrams_in.Add(3);
  counters.datagrams_dropped.Add(9);
  counters.connect_errors.Add(4);
  counters.connect_timeouts.Add(1);
  counters.retries.Add(2);
  for (CloseReason reason :
       {CloseReason::kListenerLimit, CloseReason::kNoCapacity, CloseReason::kClientLimit,
        CloseReason::kFinished, CloseReason::kIdleTimeout, CloseReason::kDownstreamReset}) {
    Close(&counters.closes, reason, 1);
  }

  const StatRow row = ListenerRow(ListenerEntry(5), load);

  EXPECT_EQ(row.kind, StatKind::kListener);
  EXPECT_EQ(row.name, "http");
  EXPECT_EQ(row.address, At("127.0.0.1:80"));
  EXPECT_EQ(row.totals.sessions, 100u);
  EXPECT_EQ(row.peak_active, 20u);
  EXPECT_EQ(row.totals.packets_in, 3u);
  EXPECT_EQ(row.totals.packets_dropped, 9u);
  EXPECT_EQ(row.totals.connect_errors, 4u);
  EXPECT_EQ(row.totals.connect_timeouts, 1u);
  EXPECT_EQ(row.totals.retries, 2u);
  EXPECT_EQ(row.totals.rejected, 3u);
}

TEST(StatsViewTest, TotalsAddUpFieldByField) {
  Totals one;
  one.sessions = one.rejected = one.selected = 1;
  one.bytes_in = one.bytes_out = one.packets_in = one.packets_out = one.packets_dropped = 2;
  one.connect_errors = one.connect_timeouts = one.retries = 3;
  one.probes = one.probes_failed = 4;
  one.closes.fill(5);
  Totals sum = one;
  sum += one;
  for (uint64_t total : {sum.sessions, sum.rejected, sum.selected}) EXPECT_EQ(total, 2u);
  for (uint64_t total :
       {sum.bytes_in, sum.bytes_out, sum.packets_in, sum.packets_out, sum.packets_dropped}) {
    EXPECT_EQ(total, 4u);
  }
  for (uint64_t total : {sum.connect_errors, sum.connect_timeouts, sum.retries}) {
    EXPECT_EQ(total, 6u);
  }
  for (uint64_t total : {sum.probes, sum.probes_failed}) EXPECT_EQ(total, 8u);
  for (uint64_t total : sum.closes) EXPECT_EQ(total, 10u);
}

}  // namespace
}  // namespace sidelb::control
