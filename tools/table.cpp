// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "tools/table.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace qe::tools {
namespace {

bool starts_code_point(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

}  // namespace

size_t text_width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), starts_code_point));
}

std::string fit_width(const std::string& text, size_t width) {
  if (text_width(text) <= width) return text;
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end)
    if (starts_code_point(text[end]) && seen++ == width - 1) break;
  return text.substr(0, end) + "…";
}

std::string Table::text(int indent) const {
  std::vector<size_t> widths(alignment_.size(), 0);
  for (const auto& row : rows_)
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], text_width(row[i]));
  size_t total = 2 * (widths.size() - 1);
  for (size_t width : widths) total += width;

  std::string out;
  for (const auto& row : rows_) {
    std::string line(static_cast<size_t>(indent), ' ');
    if (row.empty()) line += std::string(total, '-');
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      const std::string padding(widths[i] - text_width(row[i]), ' ');
      if (i > 0) line += "  ";
      line += alignment_[i] == 'r' ? padding + row[i] : row[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string fixed(double value, int decimals) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", decimals, value);
  return buffer;
}

double nine_digits(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.9g", value);
  return std::strtod(buffer, nullptr);
}

std::string human_bytes(uint64_t n_bytes) {
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (n_bytes < 1024) return std::to_string(n_bytes) + " B";
  double value = static_cast<double>(n_bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
  return fixed(value, 1) + " " + kUnits[unit];
}

std::string human_duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::max(0.0, seconds + 0.5));
  char buffer[64];
  if (whole >= 3600)
    std::snprintf(buffer, sizeof buffer, "%lld:%02d:%02d", static_cast<long long>(whole / 3600),
                  static_cast<int>(whole / 60 % 60), static_cast<int>(whole % 60));
  else
    std::snprintf(buffer, sizeof buffer, "%d:%02d", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  return buffer;
}

std::string human_count(int64_t count) {
  const std::string digits = std::to_string(count);
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    const bool group_starts = (digits.size() - i) % 3 == 0 && i > (count < 0 ? 1u : 0u);
    if (group_starts) out += ',';
    out += digits[i];
  }
  return out;
}

}  // namespace qe::tools
