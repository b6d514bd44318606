#include "client/cli/table.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr size_t kGap = 2;

// The length of the UTF-8 sequence that begins at `text`; 0 when there is no valid one.
size_t SequenceLength(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xc2 ? 0
                        : lead < 0xe0 ? 2
                        : lead < 0xf0 ? 3
                        : lead < 0xf5 ? 4
                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  // U+0080 to U+009F are control characters too.
  if (length == 2 && lead == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) return 0;
  return length;
}

std::string CellText(std::string_view text) {
  if (text.empty()) return "<none>";
  std::string cell = Printable(text);
  std::replace(cell.begin(), cell.end(), ' ', '_');
  return cell;
}

}  // namespace

size_t TextWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string Paint(std::string_view text, Tone tone, Colour colour) {
  if (colour == Colour::kNever || tone == Tone::kPlain) return std::string(text);
  const char* code = "2";  // faint
  if (tone == Tone::kGood) code = "32";
  if (tone == Tone::kCareful) code = "33";
  if (tone == Tone::kBad) code = "31";
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::string Printable(std::string_view text) {
  std::string printable;
  while (!text.empty()) {
    size_t length = SequenceLength(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (length == 0 || first < 0x20 || first == 0x7f) {
      printable += fmt::format("\\x{:02x}", first);
      length = 1;
    } else {
      printable += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return printable;
}

Table::Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}

void Table::AddRow(std::vector<Cell> cells) {
  for (Cell& cell : cells) cell.text = CellText(cell.text);
  rows_.push_back(std::move(cells));
}

std::vector<size_t> Table::Widths() const {
  std::vector<size_t> widths;
  for (const std::string& header : headers_) widths.push_back(TextWidth(header));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], TextWidth(row[i].text));
  }
  return widths;
}

std::string Table::RenderLine(const std::vector<Cell>& cells, const std::vector<size_t>& widths,
                              Colour colour) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string gap(widths[i] - TextWidth(cells[i].text), ' ');
    const bool is_last = i + 1 == cells.size();
    if (i >= first_right_) line += gap;
    line += Paint(cells[i].text, cells[i].tone, colour);
    if (i < first_right_ && !is_last) line += gap;
    line += is_last ? "\n" : std::string(kGap, ' ');
  }
  return line;
}

std::string Table::Render(Colour colour) const {
  std::vector<Cell> header_cells;
  for (const std::string& header : headers_) header_cells.push_back({header, Tone::kFaint});
  const std::vector<size_t> widths = Widths();
  return RenderLine(header_cells, widths, colour) + RenderRows(widths, colour);
}

std::string Table::RenderRows(const std::vector<size_t>& widths, Colour colour) const {
  std::vector<size_t> wide_enough = Widths();
  for (size_t i = 0; i < std::min(widths.size(), wide_enough.size()); ++i) {
    wide_enough[i] = std::max(wide_enough[i], widths[i]);
  }
  std::string out;
  for (const auto& row : rows_) out += RenderLine(row, wide_enough, colour);
  return out;
}

void FieldList::Add(std::string_view key, std::string_view value, Tone tone) {
  fields_.push_back({std::string(key), {value.empty() ? "<none>" : Printable(value), tone}});
}

std::string FieldList::Render(Colour colour) const {
  size_t width = 0;
  for (const Field& field : fields_) width = std::max(width, TextWidth(field.key));
  std::string out;
  for (const Field& field : fields_) {
    out +=
        fmt::format("{}:{}{}\n", field.key, std::string(width - TextWidth(field.key) + kGap, ' '),
                    Paint(field.value.text, field.value.tone, colour));
  }
  return out;
}

}  // namespace sidelb::client
