// Building the rows of GetStats from what the shards count.
//
// Thread safety: the control thread; the result is a value. The counters go on rising meanwhile, so
// that rows of one answer may differ by what happened in between.
#pragma once

#include <vector>

#include "server/control/desired_state.h"
#include "server/control/live_state.h"
#include "server/control/stats.h"

namespace sidelb::control {

// The rows of exactly the objects that BuildView() gives for `filter`, in its order.
std::vector<StatRow> BuildStats(const DesiredState& desired, const LiveState& live,
                                const Filter& filter);

// Lets the peaks of the objects that have a row begin anew, at their present counts.
void ResetPeaks(const LiveState& live, const std::vector<StatRow>& rows);

// The parts of BuildStats().
StatRow ListenerRow(const StateView::ListenerEntry& entry, const ListenerLoad& load);
StatRow PoolRow(const StateView::PoolEntry& entry, const PoolLoad& load, const Totals& of_backends);
StatRow BackendRow(const StateView::BackendEntry& entry, const Backend& backend,
                   const Totals& totals);

}  // namespace sidelb::control
