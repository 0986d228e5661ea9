// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// .json and .jsonl: an object in each line, or one array of objects, whichever the file begins
// with; as Hugging Face's json loader. An array may hold strings instead: texts. A large array is
// never held whole: its elements are cut out here, by brackets and quotes alone, and parsed one by
// one.

#include <algorithm>
#include <string>
#include <utility>

#include "formats/dataset/registry.h"
#include "kernels/core/error.h"

namespace qe::row_formats {
namespace {

// A parsed row takes up to fifty times its text.
constexpr size_t kMaxJsonRow = size_t{1} << 26;
constexpr std::string_view kBlanks = " \t\r\n";

/// Passes over n bytes, or over all blanks, and counts the lines.
void skip(TextStream& text, size_t n, int64_t& line) {
  const std::string_view passed = text.rest().substr(0, n);
  line += std::count(passed.begin(), passed.end(), '\n');
  text.skip(n);
}
void skip_blanks(TextStream& text, int64_t& line) {
  for (std::string_view rest; !(rest = text.rest()).empty();) {
    const size_t n = std::min(rest.find_first_not_of(kBlanks), rest.size());
    if (n == 0) return;
    skip(text, n, line);
  }
}

void read_lines(TextStream& text, int64_t first_line, const RowSink& take) {
  LineReader lines(text, kMaxJsonRow, first_line);
  for (std::string_view line; lines.next(line);) {
    if (line.find_first_not_of(kBlanks) == std::string_view::npos) continue;
    Json row = Json::parse(line, cat(text.path(), ':', lines.number()));
    row.members();  // an object
    take(std::move(row), lines.number());
  }
}

class ArrayReader {
 public:
  ArrayReader(TextStream& text, int64_t line) : text_(text), line_(line) {}

  void read(const RowSink& take) {
    const int64_t first_line = line_;
    skip(text_, 1, line_);  // the opening bracket
    for (char end = ','; end == ',';) {
      end = read_element();
      QE_CHECK(end, text_.path(), ":", first_line, ": the array that begins here is not closed");
      const bool empty = row_.find_first_not_of(kBlanks) == std::string::npos;
      if (empty && n_rows_ == 0 && end == ']') break;
      take_row(take);
    }
    skip_blanks(text_, line_);
    QE_CHECK(text_.rest().empty(), text_.path(), ":", line_, ": unexpected text after the array");
  }

 private:
  /// Moves the text up to the comma or bracket that ends an element into row_. Gives that
  /// character, 0 when there is none.
  char read_element() {
    skip_blanks(text_, line_);
    row_.clear();
    row_line_ = line_;
    int64_t depth = 0;
    bool in_string = false;
    bool escaped = false;
    for (std::string_view rest; !(rest = text_.rest()).empty();) {
      for (size_t i = 0; i < rest.size(); ++i) {
        const char c = rest[i];
        if (in_string) {
          if (escaped) {
            escaped = false;
          } else if (c == '\\') {
            escaped = true;
          } else if (c == '"') {
            in_string = false;
          }
        } else if (c == '"') {
          in_string = true;
        } else if (c == '[' || c == '{') {
          ++depth;
        } else if (depth > 0 && (c == ']' || c == '}')) {
          --depth;
        } else if (depth == 0 && (c == ',' || c == ']')) {
          append_to_row(row_, rest.substr(0, i), kMaxJsonRow, text_, row_line_);
          skip(text_, i + 1, line_);
          return c;
        }
      }
      append_to_row(row_, rest, kMaxJsonRow, text_, row_line_);
      skip(text_, rest.size(), line_);
    }
    return 0;
  }

  void take_row(const RowSink& take) {
    const std::string name = cat(text_.path(), ":", row_line_, ": row ", ++n_rows_);
    Json row = Json::parse(row_, name);
    if (row.is_string()) {
      Json object;
      object.set("text", std::move(row));
      row = std::move(object);
    }
    row.members();
    take(std::move(row), row_line_);
  }

  TextStream& text_;
  int64_t line_;
  std::string row_;
  int64_t row_line_ = 0;
  int64_t n_rows_ = 0;
};

}  // namespace

void read_json(TextStream& text, const RowSink& take) {
  int64_t line = 1;
  skip_blanks(text, line);
  if (text.rest().starts_with('[')) {
    ArrayReader(text, line).read(take);
  } else {
    read_lines(text, line, take);
  }
}

}  // namespace qe::row_formats
