// Table: aligned text for a terminal, one row a line, no spaces inside a cell, so that columns can
// be cut apart by any tool.
//
// Thread safety: a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidelb::client {

// What a cell says at a glance. Colour only repeats what the text says.
enum class Tone { kPlain, kGood, kCareful, kBad, kFaint };
enum class Colour { kNever, kAnsi };

// `text` in the colour of `tone`.
std::string Paint(std::string_view text, Tone tone, Colour colour);
// Columns that `text` takes on the terminal: one for each code point.
size_t TextWidth(std::string_view text);
// `text` without anything that could move the cursor or break a line: other control characters and
// invalid bytes are written as \x1b. Names and tags come from other people.
std::string Printable(std::string_view text);

class Table {
 public:
  struct Cell {
    std::string text;  // empty is shown as <none>
    Tone tone = Tone::kPlain;
  };

  explicit Table(std::vector<std::string> headers);

  // Numbers read better so: this column and all after it end at their right edge.
  void AlignRightFrom(size_t column) { first_right_ = column; }

  // REQUIRES: as many cells as headers.
  void AddRow(std::vector<Cell> cells);
  bool is_empty() const { return rows_.empty(); }

  // Headers and rows, each with a line end; two spaces between columns, none at the end of a line.
  std::string Render(Colour colour) const;
  // The rows alone, below a table that was printed before: no column narrower than in `widths`.
  std::string RenderRows(const std::vector<size_t>& widths, Colour colour) const;
  // Of every column, headers included.
  std::vector<size_t> Widths() const;

  std::vector<std::vector<Cell>>& rows() { return rows_; }
  const std::vector<std::vector<Cell>>& rows() const { return rows_; }

 private:
  std::string RenderLine(const std::vector<Cell>& cells, const std::vector<size_t>& widths,
                         Colour colour) const;

  std::vector<std::string> headers_;
  size_t first_right_ = SIZE_MAX;
  std::vector<std::vector<Cell>> rows_;
};

// "Key:      value" lines, aligned over all that were added.
class FieldList {
 public:
  void Add(std::string_view key, std::string_view value, Tone tone = Tone::kPlain);
  std::string Render(Colour colour) const;

 private:
  struct Field {
    std::string key;
    Table::Cell value;
  };
  std::vector<Field> fields_;
};

}  // namespace sidelb::client
