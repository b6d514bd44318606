// Listeners, pools and backends as tables, and the words and colours of their states.
//
// Thread safety: pure functions; `now` gives ages and time left.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "client/cli/ip_groups.h"
#include "client/cli/table.h"
#include "sidelb/v1/resources.pb.h"

namespace sidelb::client {

namespace pb = sidelb::v1;

enum class Columns { kDefault, kWide };

Table ListenerTable(const pb::State& state, Columns columns);
Table PoolTable(const pb::State& state, Columns columns);
// `groups` are those of the pools in it, for the wide form.
Table BackendTable(const pb::State& state, Columns columns, absl::Time now,
                   const IpGroups& groups = {});

// What probes say of each backend, and what became of it.
Table HealthTable(const pb::State& state, absl::Time now);

// "timeout", empty when nothing is said.
std::string ReasonWord(const pb::BackendStatus& status);
// "draining,unhealthy,weight=3" of an override.
// How long its override lasts; empty when it has no end.
std::string OverrideLeft(const pb::Backend& backend, absl::Time now);
std::string OverrideText(const pb::Backend& backend);
Table::Cell StateCell(const pb::BackendStatus& status);
Table::Cell HealthCell(const pb::BackendStatus& status);
// "bound", "disabled", "failed".
Table::Cell ListenerStateCell(const pb::Listener& listener);

std::string ModeWord(pb::Mode mode);  // unspecified is round-robin
uint32_t WeightOf(const pb::Backend& backend);
// "draining", empty when it takes sessions.
std::string WhyIneligible(const pb::BackendStatus& status);
std::string TagsText(const pb::BackendSpec& spec);  // "a=1,b=2", sorted
// Whole seconds from a second up: "1h2m3s", "250ms".
std::string DurationText(absl::Duration duration);
// To two or three places: "850us", "4.2ms", "1.25s".
std::string LatencyText(absl::Duration latency);
// The duration, or the default in brackets: "30s", "1h(default)".
std::string DurationOr(bool is_set, const google::protobuf::Duration& duration,
                       std::string_view default_text);
std::string DrainText(const pb::Drain& drain, std::string_view default_timeout);

}  // namespace sidelb::client
