// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Text for people: aligned tables, sizes, durations, shares.

#include <cstdint>
#include <string>
#include <vector>

namespace qe::tools {

/// Columns of a table of text. A row with fewer cells leaves the rest empty.
class Table {
 public:
  /// One letter a column: 'l' left, 'r' right aligned.
  explicit Table(std::string alignment) : alignment_(std::move(alignment)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  /// A line of dashes as wide as the columns.
  void rule() { rows_.emplace_back(); }
  /// All rows, two blanks between columns, `indent` blanks in front, each ending in a newline.
  /// Widths count code points.
  std::string text(int indent = 0) const;

 private:
  std::string alignment_;
  std::vector<std::vector<std::string>> rows_;
};

std::string human_bytes(uint64_t n_bytes);      ///< "512 B", "10.4 MiB"
std::string human_duration(double seconds);     ///< "0:07", "2:05", "1:02:03"
std::string human_count(int64_t count);         ///< "1,234,567"
std::string fixed(double value, int decimals);  ///< printf's %.*f
double nine_digits(double value);               ///< rounded: they tell any two fp32 numbers apart

/// Code points of a UTF-8 text; the text cut to at most `width` of them, the last an ellipsis.
size_t text_width(const std::string& text);
std::string fit_width(const std::string& text, size_t width);

}  // namespace qe::tools
