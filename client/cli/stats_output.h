// Counters as tables and as the CSV of HAProxy.
//
// Thread safety: pure functions.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "client/cli/table.h"
#include "sidelb/v1/control.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

enum class NumberStyle { kHuman, kExact };
// kWide adds what is of use only now and then.
enum class StatsColumns { kDefault, kWide };

// The rows of one kind.
Table StatsTable(const pb::GetStatsResponse& stats, pb::ObjectKind kind, NumberStyle style,
                 StatsColumns columns);

// As HAProxy's "show stat" begins, from pxname to type: listeners are FRONTENDs, pools BACKENDs,
// backends are servers that are named by their address. What the daemon does not count is empty.
// `state` gives states, weights and limits.
std::string StatsCsv(const pb::GetStatsResponse& stats, const pb::State& state, absl::Time now);

}  // namespace sidelb::client
