#include "server/control/stats_view.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "server/control/state_view.h"

namespace sidelb::control {
namespace {

// A peak is noted by the shard that reaches it, or was there already when it was reset.
template <typename Counters>
uint64_t PeakOf(const Counters& counters, size_t shards, uint64_t active) {
  uint64_t peak = active;
  for (size_t i = 0; i < shards; ++i) peak = std::max(peak, counters[i].peak_active.value());
  return peak;
}

}  // namespace

StatRow ListenerRow(const StateView::ListenerEntry& entry, const ListenerLoad& load) {
  StatRow row{.kind = StatKind::kListener,
              .name = entry.object->spec.name,
              .address = entry.status.bound_address,
              .active = entry.status.active_connections};
  row.peak_active = PeakOf(load.counters, load.shard_count, row.active);
  row.totals.Add(load);
  return row;
}

StatRow PoolRow(const StateView::PoolEntry& entry, const PoolLoad& load,
                const Totals& of_backends) {
  StatRow row{.kind = StatKind::kPool,
              .name = entry.object->spec.name,
              .active = entry.status.active_connections,
              .totals = of_backends};
  row.peak_active = PeakOf(load.counters, load.shard_count(), row.active);
  row.totals.Add(load);
  return row;
}

StatRow BackendRow(const StateView::BackendEntry& entry, const Backend& backend,
                   const Totals& totals) {
  StatRow row{.kind = StatKind::kBackend,
              .name = entry.object->pool,
              .address = entry.object->address,
              .active = entry.status.active_connections,
              .peak_active = entry.status.active_connections,
              .totals = totals};
  for (size_t i = 0; i < backend.shard_count(); ++i) {
    const BackendShard* const shard = backend.FindShard(i);
    if (shard == nullptr) continue;
    row.peak_active = std::max(row.peak_active, shard->counters.peak_active.value());
  }
  return row;
}

std::vector<StatRow> BuildStats(const DesiredState& desired, const LiveState& live,
                                const Filter& filter) {
  const auto view = BuildView(desired, live, ObjectFilter(filter));
  std::vector<StatRow> rows;
  rows.reserve(view->listeners.size() + view->pools.size() + view->backends.size());
  for (const StateView::ListenerEntry& entry : view->listeners) {
    if (const LiveListener* listener = live.FindListener(entry.object->spec.name)) {
      rows.push_back(ListenerRow(entry, *listener->load));
    }
  }
  // All stand in one order, so that one walk over the backends serves both kinds of rows.
  std::vector<StatRow> backend_rows;
  backend_rows.reserve(view->backends.size());
  auto next_pool = view->pools.begin();
  auto next_backend = view->backends.begin();
  for (const auto& [name, pool] : live.pools()) {
    const bool has_row = next_pool != view->pools.end() && next_pool->object->spec.name == name;
    Totals sum;
    if (has_row) sum = pool.gone;
    for (const auto& [address, backend] : pool.backends) {
      const bool has_backend_row = next_backend != view->backends.end() &&
                                   next_backend->object->pool == name &&
                                   next_backend->object->address == address;
      if (!has_row && !has_backend_row) continue;
      const Totals totals = TotalsOf(backend);
      if (has_row) sum += totals;
      if (has_backend_row) {
        backend_rows.push_back(BackendRow(*next_backend, *backend.backend, totals));
        ++next_backend;
      }
    }
    if (!has_row) continue;
    rows.push_back(PoolRow(*next_pool, *pool.load, sum));
    ++next_pool;
  }
  std::move(backend_rows.begin(), backend_rows.end(), std::back_inserter(rows));
  return rows;
}

void ResetPeaks(const LiveState& live, const std::vector<StatRow>& rows) {
  for (const StatRow& row : rows) {
    switch (row.kind) {
      case StatKind::kListener:
        if (const LiveListener* listener = live.FindListener(row.name)) listener->load->ResetPeak();
        break;
      case StatKind::kPool:
        if (const auto pool = live.pools().find(row.name); pool != live.pools().end()) {
          pool->second.load->ResetPeak();
        }
        break;
      case StatKind::kBackend:
        if (const LiveBackend* backend = live.FindBackend({row.name, row.address})) {
          backend->backend->ResetPeak();
        }
        break;
    }
  }
}

}  // namespace sidelb::control
