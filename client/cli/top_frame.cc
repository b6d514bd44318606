#include "client/cli/top_frame.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "client/cli/event_lines.h"
#include "client/cli/numbers.h"
#include "client/cli/object_tables.h"
#include "client/cli/values.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

using Key = WatchView::BackendKey;

constexpr size_t kColumnGap = 2;
constexpr double kBitsPerByte = 8;

struct Rates {
  double sessions = 0;
  double bytes_in = 0;
  double bytes_out = 0;
  double errors = 0;
};

struct Line {
  const pb::Backend* backend = nullptr;
  const pb::StatRow* stats = nullptr;  // nullptr = the daemon counts nothing for it yet
  Rates rates;
};

// Per second. A counter that went back is one of a daemon that was restarted.
double RateOf(uint64_t before, uint64_t now, double seconds) {
  return seconds > 0 && now > before ? static_cast<double>(now - before) / seconds : 0;
}

uint64_t ErrorsOf(const pb::StatRow& row) {
  return row.connect_errors() + row.timeouts() + row.resets();
}

Rates RatesOf(const pb::StatRow& before, const pb::StatRow& now, double seconds) {
  return {RateOf(before.total(), now.total(), seconds),
          RateOf(before.bytes_in(), now.bytes_in(), seconds),
          RateOf(before.bytes_out(), now.bytes_out(), seconds),
          RateOf(ErrorsOf(before), ErrorsOf(now), seconds)};
}

std::map<Key, const pb::StatRow*> RowsOf(const TopSample* sample, pb::ObjectKind kind) {
  std::map<Key, const pb::StatRow*> rows;
  if (sample == nullptr) return rows;
  for (const pb::StatRow& row : sample->stats.rows()) {
    if (row.kind() == kind) rows[{row.name(), row.address()}] = &row;
  }
  return rows;
}

double SecondsBetween(const TopInput& input) {
  if (input.before == nullptr) return 0;
  const pb::GetStatsResponse& before = input.before->stats;
  const pb::GetStatsResponse& now = input.now.stats;
  if (before.has_time() && now.has_time()) {
    return absl::ToDoubleSeconds(FromProto(now.time()) - FromProto(before.time()));
  }
  return absl::ToDoubleSeconds(input.now.time - input.before->time);
}

std::vector<Line> LinesOf(const TopInput& input) {
  const auto before = RowsOf(input.before, pb::OBJECT_KIND_BACKEND);
  const auto now = RowsOf(&input.now, pb::OBJECT_KIND_BACKEND);
  const double seconds = SecondsBetween(input);
  std::vector<Line> lines;
  for (const auto& [key, backend] : input.view.backends()) {
    Line line{&backend};
    if (const auto found = now.find(key); found != now.end()) line.stats = found->second;
    const auto old = before.find(key);
    if (line.stats != nullptr && old != before.end()) {
      line.rates = RatesOf(*old->second, *line.stats, seconds);
    }
    lines.push_back(line);
  }
  return lines;
}

double SortValue(const Line& line, TopSort sort) {
  switch (sort) {
    case TopSort::kNewSessions:
      return line.rates.sessions;
    case TopSort::kSessions:
      return line.stats == nullptr ? 0 : static_cast<double>(line.stats->active());
    case TopSort::kBytesIn:
      return line.rates.bytes_in;
    case TopSort::kBytesOut:
      return line.rates.bytes_out;
    case TopSort::kErrors:
      return line.rates.errors;
    case TopSort::kState:
      // What needs a look comes first.
      return line.backend->status().state() == pb::BACKEND_STATE_SERVING
                 ? 0
                 : static_cast<double>(line.backend->status().state());
    case TopSort::kName:
      break;
  }
  return 0;
}

void Sort(const TopSettings& settings, std::vector<Line>* lines) {
  // They come by name, which decides where the values are the same.
  std::stable_sort(lines->begin(), lines->end(), [&](const Line& a, const Line& b) {
    const double value_a = SortValue(a, settings.sort);
    const double value_b = SortValue(b, settings.sort);
    return settings.is_reversed ? value_a < value_b : value_a > value_b;
  });
  if (settings.sort == TopSort::kName && settings.is_reversed) {
    std::reverse(lines->begin(), lines->end());
  }
}

// A line that ends where the screen does.
class LineBuilder {
 public:
  LineBuilder(size_t width, Colour colour) : width_(width), colour_(colour) {}

  void Add(std::string_view text, Tone tone = Tone::kPlain) {
    std::string shown;
    // Cuts between characters, never inside one.
    for (size_t i = 0; i < text.size();) {
      size_t end = i + 1;
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
      if (used_ == width_) break;
      shown += text.substr(i, end - i);
      ++used_;
      i = end;
    }
    if (!shown.empty()) line_ += Paint(shown, tone, colour_);
  }
  std::string Take() {
    while (line_.ends_with(' ')) line_.pop_back();
    return std::move(line_);
  }

 private:
  const size_t width_;
  const Colour colour_;
  size_t used_ = 0;
  std::string line_;
};

struct Column {
  std::string header;
  std::vector<Table::Cell> cells;  // one for each line
  bool is_right = true;
};

std::string RateText(double rate, bool has_rates) { return has_rates ? HumanCount(rate) : "-"; }

// Only of the lines that are shown.
std::vector<Column> ColumnsOf(const std::vector<Line>& lines, bool has_rates, TopSort sort) {
  // The column that decides the order is marked.
  const auto header = [sort](const char* text, TopSort column) {
    return fmt::format("{}{}", text, sort == column ? "*" : "");
  };
  std::vector<Column> columns = {{"", {}, false},
                                 {"POOL", {}, false},
                                 {header("ADDRESS", TopSort::kName), {}, false},
                                 {header("STATE", TopSort::kState), {}, false},
                                 {header("SESSIONS", TopSort::kSessions), {}},
                                 {header("NEW/S", TopSort::kNewSessions), {}},
                                 {header("IN/S", TopSort::kBytesIn), {}},
                                 {header("OUT/S", TopSort::kBytesOut), {}},
                                 {header("ERR/S", TopSort::kErrors), {}},
                                 {"WEIGHT", {}},
                                 {"P50", {}},
                                 {"P99", {}},
                                 {"TOTAL", {}}};
  for (const Line& line : lines) {
    const pb::StatRow& stats =
        line.stats == nullptr ? pb::StatRow::default_instance() : *line.stats;
    const auto bytes = [has_rates](double rate) {
      return Table::Cell{has_rates ? HumanBytes(static_cast<uint64_t>(rate)) : "-"};
    };
    const auto latency = [](bool is_known, const google::protobuf::Duration& value) {
      return Table::Cell{is_known ? LatencyText(FromProto(value)) : "-"};
    };
    pb::Event event;
    *event.mutable_backend() = *line.backend;
    const std::vector<Table::Cell> cells = {
        HealthLetter(event),
        {Printable(line.backend->pool())},
        {Printable(line.backend->address())},
        StateCell(line.backend->status()),
        {HumanCount(static_cast<double>(stats.active()))},
        {RateText(line.rates.sessions, has_rates)},
        bytes(line.rates.bytes_in),
        bytes(line.rates.bytes_out),
        {RateText(line.rates.errors, has_rates), line.rates.errors > 0 ? Tone::kBad : Tone::kPlain},
        {fmt::to_string(WeightOf(*line.backend))},
        latency(stats.has_connect_latency_p50(), stats.connect_latency_p50()),
        latency(stats.has_connect_latency_p99(), stats.connect_latency_p99()),
        {HumanCount(static_cast<double>(stats.total()))}};
    for (size_t i = 0; i < columns.size(); ++i) columns[i].cells.push_back(cells[i]);
  }
  return columns;
}

size_t WidthOf(const Column& column) {
  size_t width = TextWidth(column.header);
  for (const Table::Cell& cell : column.cells) width = std::max(width, TextWidth(cell.text));
  return width;
}

void AddCell(const Table::Cell& cell, size_t width, bool is_right, LineBuilder* line) {
  const std::string gap(width - TextWidth(cell.text), ' ');
  if (is_right) line->Add(gap);
  line->Add(cell.text, cell.tone);
  if (!is_right) line->Add(gap);
}

// The table, with as many columns from the left as fit whole.
std::vector<std::string> TableLines(const std::vector<Column>& columns, size_t rows, size_t width,
                                    Colour colour) {
  std::vector<size_t> widths;
  size_t used = 0;
  for (const Column& column : columns) {
    const size_t needed = WidthOf(column) + (widths.empty() ? 0 : kColumnGap);
    if (used + needed > width && widths.size() > 2) break;
    used += needed;
    widths.push_back(needed - (widths.empty() ? 0 : kColumnGap));
  }
  std::vector<std::string> lines;
  for (size_t row = 0; row <= rows; ++row) {
    LineBuilder line(width, colour);
    for (size_t i = 0; i < widths.size(); ++i) {
      if (i > 0) line.Add(std::string(kColumnGap, ' '));
      const Table::Cell cell =
          row == 0 ? Table::Cell{columns[i].header, Tone::kFaint} : columns[i].cells[row - 1];
      AddCell(cell, widths[i], columns[i].is_right, &line);
    }
    lines.push_back(line.Take());
  }
  return lines;
}

struct Totals {
  Rates rates;
  uint64_t active = 0;
};

// Over the pools: their counters outlive the backends that leave.
Totals TotalsOf(const TopInput& input) {
  const auto before = RowsOf(input.before, pb::OBJECT_KIND_POOL);
  const auto now = RowsOf(&input.now, pb::OBJECT_KIND_POOL);
  const double seconds = SecondsBetween(input);
  Totals totals;
  for (const auto& [key, row] : now) {
    if (!input.pool.empty() && key.first != input.pool) continue;
    totals.active += row->active();
    const auto old = before.find(key);
    if (old == before.end()) continue;
    const Rates rates = RatesOf(*old->second, *row, seconds);
    totals.rates.sessions += rates.sessions;
    totals.rates.bytes_in += rates.bytes_in;
    totals.rates.bytes_out += rates.bytes_out;
    totals.rates.errors += rates.errors;
  }
  return totals;
}

std::string TitleLine(const TopInput& input, const TopSettings& settings, size_t width,
                      Colour colour) {
  const pb::GetInfoResponse& info = input.now.info;
  LineBuilder line(width, colour);
  line.Add(input.pool.empty() ? "sidelb" : fmt::format("sidelb, pool {}", input.pool));
  if (info.has_start_time()) {
    const absl::Duration up = input.now.time - FromProto(info.start_time());
    line.Add(fmt::format("  up {}", DurationText(std::max(up, absl::ZeroDuration()))));
  }
  line.Add(fmt::format("  revision {}", info.revision()));
  if (info.applied_revision() == info.revision()) {
    line.Add(" applied", Tone::kGood);
  } else {
    line.Add(fmt::format(", {} applied", info.applied_revision()), Tone::kCareful);
  }
  if (info.state() != pb::SERVER_STATE_SERVING) {
    line.Add(fmt::format("  {}", Word(pb::ServerState_Name(info.state()), "SERVER_STATE_")),
             Tone::kCareful);
  }
  if (settings.is_paused) line.Add("  paused", Tone::kCareful);
  return line.Take();
}

std::string TrafficLine(const TopInput& input, size_t width, Colour colour) {
  const Totals totals = TotalsOf(input);
  const bool has_rates = input.before != nullptr;
  LineBuilder line(width, colour);
  line.Add(fmt::format("sessions {}", HumanCount(static_cast<double>(totals.active))));
  if (has_rates) {
    line.Add(fmt::format("  new {}/s  in {}  out {}", HumanCount(totals.rates.sessions),
                         HumanBitRate(totals.rates.bytes_in * kBitsPerByte),
                         HumanBitRate(totals.rates.bytes_out * kBitsPerByte)));
    line.Add(fmt::format("  errors {}/s", HumanCount(totals.rates.errors)),
             totals.rates.errors > 0 ? Tone::kBad : Tone::kPlain);
  }
  return line.Take();
}

std::string BackendsLine(const WatchView& view, size_t width, Colour colour) {
  std::map<pb::BackendState, size_t> counts;
  for (const auto& [key, backend] : view.backends()) ++counts[backend.status().state()];
  const size_t serving = counts[pb::BACKEND_STATE_SERVING];
  const size_t total = view.backends().size();
  LineBuilder line(width, colour);
  line.Add("backends ");
  line.Add(fmt::format("{}/{} serving", serving, total), serving == total ? Tone::kGood
                                                         : serving == 0   ? Tone::kBad
                                                                          : Tone::kCareful);
  for (const auto& [state, count] : counts) {
    if (state == pb::BACKEND_STATE_SERVING || count == 0) continue;
    pb::BackendStatus status;
    status.set_state(state);
    const Table::Cell cell = StateCell(status);
    line.Add(fmt::format("  {} {}", count, cell.text), cell.tone);
  }
  return line.Take();
}

}  // namespace

TopFrame RenderTop(const TopInput& input, const TopSettings& settings, const ScreenSize& size,
                   Colour colour) {
  TopFrame frame;
  frame.lines = {TitleLine(input, settings, size.columns, colour),
                 TrafficLine(input, size.columns, colour),
                 BackendsLine(input.view, size.columns, colour)};
  LineBuilder trouble(size.columns, colour);
  trouble.Add(Printable(input.trouble), Tone::kBad);
  frame.lines.push_back(trouble.Take());

  std::vector<Line> lines = LinesOf(input);
  Sort(settings, &lines);
  const size_t head = frame.lines.size() + 1;  // and the table's own
  frame.page_rows = size.rows == 0 ? lines.size() : size.rows > head ? size.rows - head : 0;
  frame.scroll = std::min(settings.scroll, lines.size() - std::min(lines.size(), frame.page_rows));
  const auto first = lines.begin() + static_cast<ptrdiff_t>(frame.scroll);
  const size_t count = std::min(frame.page_rows, lines.size() - frame.scroll);
  const std::vector<Line> shown(first, first + static_cast<ptrdiff_t>(count));
  const std::vector<Column> columns = ColumnsOf(shown, input.before != nullptr, settings.sort);
  for (std::string& line : TableLines(columns, shown.size(), size.columns, colour)) {
    frame.lines.push_back(std::move(line));
  }
  if (size.rows > 0 && frame.lines.size() > size.rows) frame.lines.resize(size.rows);
  return frame;
}

}  // namespace sidelb::client
