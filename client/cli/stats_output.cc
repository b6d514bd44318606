#include "client/cli/stats_output.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "client/cli/numbers.h"
#include "client/cli/object_tables.h"
#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

class RowBuilder {
 public:
  explicit RowBuilder(NumberStyle style) : style_(style) {}

  void Text(const std::string& text) { cells_.push_back({text}); }
  void Count(uint64_t count, Tone tone_if_any = Tone::kPlain) {
    cells_.push_back({style_ == NumberStyle::kExact ? fmt::to_string(count)
                                                    : HumanCount(static_cast<double>(count)),
                      count > 0 ? tone_if_any : Tone::kPlain});
  }
  void Bytes(uint64_t bytes) {
    cells_.push_back({style_ == NumberStyle::kExact ? fmt::to_string(bytes) : HumanBytes(bytes)});
  }
  void Latency(bool is_known, const google::protobuf::Duration& latency) {
    cells_.push_back({is_known ? LatencyText(FromProto(latency)) : "-"});
  }
  std::vector<Table::Cell> Take() { return std::move(cells_); }

 private:
  const NumberStyle style_;
  std::vector<Table::Cell> cells_;
};

std::vector<std::string> HeadersOf(pb::ObjectKind kind, StatsColumns columns) {
  std::vector<std::string> headers = {kind == pb::OBJECT_KIND_LISTENER ? "LISTENER" : "POOL"};
  if (kind == pb::OBJECT_KIND_BACKEND) headers.push_back("ADDRESS");
  headers.insert(headers.end(), {"SESSIONS", "PEAK", "TOTAL", "IN", "OUT"});
  if (kind == pb::OBJECT_KIND_LISTENER) {
    headers.push_back("REJECTED");
  } else {
    headers.insert(headers.end(), {"CONN-ERR", "RETRIES", "TIMEOUTS", "RESETS"});
  }
  if (kind == pb::OBJECT_KIND_BACKEND) headers.insert(headers.end(), {"P50", "P99"});
  if (columns == StatsColumns::kWide) {
    headers.insert(headers.end(), {"PKT-IN", "PKT-OUT"});
    if (kind == pb::OBJECT_KIND_LISTENER) headers.push_back("DROPPED");
    if (kind == pb::OBJECT_KIND_BACKEND) {
      headers.insert(headers.end(), {"SELECTED", "PROBES", "FAILED"});
    }
  }
  return headers;
}

constexpr std::array kCsvColumns = {
    "pxname", "svname", "qcur",     "qmax",    "scur",    "smax",    "slim",     "stot",   "bin",
    "bout",   "dreq",   "dresp",    "ereq",    "econ",    "eresp",   "wretr",    "wredis", "status",
    "weight", "act",    "bck",      "chkfail", "chkdown", "lastchg", "downtime", "qlimit", "pid",
    "iid",    "sid",    "throttle", "lbtot",   "tracked", "type"};

class CsvLine {
 public:
  void Set(std::string_view column, std::string value) {
    const auto at = std::find(kCsvColumns.begin(), kCsvColumns.end(), column);
    values_[static_cast<size_t>(at - kCsvColumns.begin())] = std::move(value);
  }
  void Set(std::string_view column, uint64_t value) { Set(column, fmt::to_string(value)); }
  std::string Render() const {
    std::vector<std::string> fields;
    for (const std::string& value : values_) {
      const bool is_plain = value.find_first_of(",\"\n") == std::string::npos;
      fields.push_back(is_plain ? value : Quoted(value));
    }
    return fmt::format("{}\n", fmt::join(fields, ","));
  }

 private:
  static std::string Quoted(const std::string& value) {
    std::string quoted = "\"";
    for (const char c : value) quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + "\"";
  }

  std::array<std::string, kCsvColumns.size()> values_;
};

// In HAProxy's words.
std::string StatusOf(const pb::BackendStatus& status) {
  switch (status.state()) {
    case pb::BACKEND_STATE_SERVING:
      return status.health() == pb::HEALTH_HEALTHY ? "UP" : "no check";
    case pb::BACKEND_STATE_WARMING:
    case pb::BACKEND_STATE_UNHEALTHY:
      return "DOWN";
    case pb::BACKEND_STATE_DRAINING:
    case pb::BACKEND_STATE_REMOVING:
      return "DRAIN";
    case pb::BACKEND_STATE_DISABLED:
      return "MAINT";
    default:
      return "";
  }
}

// The configuration and status that the counters belong to.
struct StateIndex {
  explicit StateIndex(const pb::State& state) {
    for (const pb::Listener& listener : state.listeners()) listeners[listener.name()] = &listener;
    for (const pb::Pool& pool : state.pools()) pools[pool.name()] = &pool;
    for (const pb::Backend& backend : state.backends()) {
      backends[{backend.pool(), backend.address()}] = &backend;
      const bool is_serving = backend.status().state() == pb::BACKEND_STATE_SERVING;
      auto& [active, backup] = serving[backend.pool()];
      if (is_serving) ++(backend.effective().priority() == 0 ? active : backup);
    }
  }

  std::map<std::string, const pb::Listener*> listeners;
  std::map<std::string, const pb::Pool*> pools;
  std::map<std::pair<std::string, std::string>, const pb::Backend*> backends;
  std::map<std::string, std::pair<uint64_t, uint64_t>> serving;  // active and backup, by pool
};

// Types as HAProxy numbers them.
constexpr uint64_t kFrontend = 0;
constexpr uint64_t kBackend = 1;
constexpr uint64_t kServer = 2;

void SetListener(const StateIndex& index, const pb::StatRow& row, CsvLine* line) {
  line->Set("svname", "FRONTEND");
  line->Set("type", kFrontend);
  const auto found = index.listeners.find(row.name());
  if (found == index.listeners.end()) return;
  const pb::Listener& listener = *found->second;
  line->Set("status", listener.status().bound() ? "OPEN" : "STOP");
  if (listener.max_connections() > 0) line->Set("slim", listener.max_connections());
}

void SetPool(const StateIndex& index, const pb::StatRow& row, CsvLine* line) {
  line->Set("svname", "BACKEND");
  line->Set("type", kBackend);
  if (!index.pools.contains(row.name())) return;
  const auto serving = index.serving.find(row.name());
  const auto [active, backup] =
      serving == index.serving.end() ? std::pair<uint64_t, uint64_t>() : serving->second;
  line->Set("status", active + backup > 0 ? "UP" : "DOWN");
  line->Set("act", active);
  line->Set("bck", backup);
}

void SetBackend(const StateIndex& index, const pb::StatRow& row, absl::Time now, CsvLine* line) {
  line->Set("svname", row.address());
  line->Set("type", kServer);
  line->Set("chkfail", row.probes_failed());
  const auto found = index.backends.find({row.name(), row.address()});
  if (found == index.backends.end()) return;
  const pb::Backend& backend = *found->second;
  const bool is_backup = backend.effective().priority() > 0;
  line->Set("status", StatusOf(backend.status()));
  line->Set("weight", WeightOf(backend));
  line->Set("act", is_backup ? 0u : 1u);
  line->Set("bck", is_backup ? 1u : 0u);
  if (backend.effective().max_connections() > 0) {
    line->Set("slim", backend.effective().max_connections());
  }
  if (backend.status().has_state_change_time()) {
    const absl::Duration since = now - FromProto(backend.status().state_change_time());
    line->Set("lastchg", static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Seconds(since))));
  }
}

}  // namespace

Table StatsTable(const pb::GetStatsResponse& stats, pb::ObjectKind kind, NumberStyle style,
                 StatsColumns columns) {
  const bool is_backend = kind == pb::OBJECT_KIND_BACKEND;
  Table table(HeadersOf(kind, columns));
  table.AlignRightFrom(is_backend ? 2 : 1);
  for (const pb::StatRow& row : stats.rows()) {
    if (row.kind() != kind) continue;
    RowBuilder cells(style);
    cells.Text(row.name());
    if (is_backend) cells.Text(row.address());
    cells.Count(row.active());
    cells.Count(row.peak_active());
    cells.Count(row.total());
    cells.Bytes(row.bytes_in());
    cells.Bytes(row.bytes_out());
    if (kind == pb::OBJECT_KIND_LISTENER) {
      cells.Count(row.rejected(), Tone::kCareful);
    } else {
      cells.Count(row.connect_errors(), Tone::kBad);
      cells.Count(row.retries(), Tone::kCareful);
      cells.Count(row.timeouts(), Tone::kCareful);
      cells.Count(row.resets(), Tone::kCareful);
    }
    if (is_backend) {
      cells.Latency(row.has_connect_latency_p50(), row.connect_latency_p50());
      cells.Latency(row.has_connect_latency_p99(), row.connect_latency_p99());
    }
    if (columns == StatsColumns::kWide) {
      cells.Count(row.packets_in());
      cells.Count(row.packets_out());
      if (kind == pb::OBJECT_KIND_LISTENER) cells.Count(row.packets_dropped(), Tone::kCareful);
      if (is_backend) {
        cells.Count(row.selected());
        cells.Count(row.probes());
        cells.Count(row.probes_failed(), Tone::kCareful);
      }
    }
    table.AddRow(cells.Take());
  }
  return table;
}

std::string StatsCsv(const pb::GetStatsResponse& stats, const pb::State& state, absl::Time now) {
  const StateIndex index(state);
  std::string csv = fmt::format("# {}\n", fmt::join(kCsvColumns, ","));
  for (const pb::StatRow& row : stats.rows()) {
    CsvLine line;
    line.Set("pxname", row.name());
    line.Set("scur", row.active());
    line.Set("smax", row.peak_active());
    line.Set("stot", row.total());
    line.Set("bin", row.bytes_in());
    line.Set("bout", row.bytes_out());
    if (row.kind() != pb::OBJECT_KIND_LISTENER) {
      line.Set("econ", row.connect_errors());
      line.Set("wretr", row.retries());
      line.Set("lbtot", row.selected());
    }
    switch (row.kind()) {
      case pb::OBJECT_KIND_LISTENER:
        SetListener(index, row, &line);
        break;
      case pb::OBJECT_KIND_POOL:
        SetPool(index, row, &line);
        break;
      case pb::OBJECT_KIND_BACKEND:
        SetBackend(index, row, now, &line);
        break;
      default:
        continue;
    }
    csv += line.Render();
  }
  return csv;
}

}  // namespace sidelb::client
