#include "client/cli/table.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "fmt/format.h"

namespace sidelb::client {
namespace {

constexpr size_t kGap = 2;

// Columns on the terminal: one for each code point.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

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

std::string Table::Render(Colour colour) const {
  std::vector<size_t> widths;
  for (const std::string& header : headers_) widths.push_back(Width(header));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i].text));
  }
  std::string out;
  const auto append = [&](size_t column, std::string_view text, Tone tone) {
    out += Paint(text, tone, colour);
    const bool is_last = column + 1 == headers_.size();
    out += is_last ? "\n" : std::string(widths[column] - Width(text) + kGap, ' ');
  };
  for (size_t i = 0; i < headers_.size(); ++i) append(i, headers_[i], Tone::kFaint);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) append(i, row[i].text, row[i].tone);
  }
  return out;
}

void FieldList::Add(std::string_view key, std::string_view value, Tone tone) {
  fields_.push_back({std::string(key), {value.empty() ? "<none>" : Printable(value), tone}});
}

std::string FieldList::Render(Colour colour) const {
  size_t width = 0;
  for (const Field& field : fields_) width = std::max(width, Width(field.key));
  std::string out;
  for (const Field& field : fields_) {
    out += fmt::format("{}:{}{}\n", field.key, std::string(width - Width(field.key) + kGap, ' '),
                       Paint(field.value.text, field.value.tone, colour));
  }
  return out;
}

}  // namespace sidelb::client
