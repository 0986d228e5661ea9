// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// .csv and .tsv with the quoting of RFC 4180. The first record names the columns; every other one
// has as many fields. A field in quotes may hold separators, line ends and doubled quotes; a quote
// inside a field without quotes is a character. Records end with "\n", "\r\n" or "\r"; blank lines
// are passed over. Cells are texts: "NA", "null" and "1.5" are what they say, and an empty cell is
// an empty text.

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "formats/dataset/registry.h"
#include "formats/quote.h"
#include "kernels/core/error.h"

namespace qe::row_formats {
namespace {

constexpr size_t kMaxColumns = 1 << 16;

class RecordReader {
 public:
  RecordReader(TextStream& text, char separator)
      : text_(text), separator_(separator), ends_{separator, '\n', '\r'} {}

  /// The next record ; more than max_fields fields are an Error. False at the end.
  bool next(std::vector<std::string>& fields, size_t max_fields) {
    do {
      fields.clear();
      line_ = next_line_;
      n_bytes_ = 0;
      if (!read_record(fields, max_fields)) return false;
    } while (blank_);
    return true;
  }
  int64_t line() const { return line_; }  ///< where the record begins

 private:
  enum class State { kFieldStart, kPlain, kQuoted, kAfterQuote };

  bool read_record(std::vector<std::string>& fields, size_t max_fields) {
    State state = State::kFieldStart;
    std::string field;
    bool any = false;
    bool any_quote = false;
    const auto end_field = [&] {
      QE_CHECK(fields.size() < max_fields, text_.path(), ":", line_, ": more than ", max_fields,
               max_fields == kMaxColumns ? " columns" : " fields, as the header has columns");
      fields.push_back(std::exchange(field, {}));
      state = State::kFieldStart;
    };
    for (std::string_view rest; !(rest = text_.rest()).empty();) {
      if (std::exchange(after_return_, false) && rest[0] == '\n') {  // the other half of "\r\n"
        text_.skip(1);
        continue;
      }
      any = true;
      const char c = rest[0];
      if (state == State::kQuoted) {
        const std::string_view piece = rest.substr(0, rest.find('"'));
        append(field, piece);
        next_line_ += std::count(piece.begin(), piece.end(), '\n');
        if (piece.size() < rest.size()) state = State::kAfterQuote;
        text_.skip(std::min(piece.size() + 1, rest.size()));
      } else if (state == State::kAfterQuote && c == '"') {
        append(field, "\"");
        state = State::kQuoted;
        text_.skip(1);
      } else if (state == State::kFieldStart && c == '"') {
        any_quote = true;
        quote_line_ = next_line_;
        state = State::kQuoted;
        text_.skip(1);
      } else if (c == separator_) {
        end_field();
        text_.skip(1);
      } else if (c == '\n' || c == '\r') {
        end_field();
        text_.skip(1);
        ++next_line_;
        after_return_ = c == '\r';
        blank_ = fields.size() == 1 && fields[0].empty() && !any_quote;
        return true;
      } else {
        QE_CHECK(state != State::kAfterQuote, text_.path(), ":", next_line_, ": field ",
                 fields.size() + 1, ": text after the closing quote");
        const std::string_view piece = rest.substr(0, rest.find_first_of(ends_));
        append(field, piece);
        state = State::kPlain;
        text_.skip(piece.size());
      }
    }
    QE_CHECK(state != State::kQuoted, text_.path(), ":", quote_line_, ": field ", fields.size() + 1,
             ": the quote that begins here is not closed");
    blank_ = false;
    if (any) end_field();
    return any;
  }

  void append(std::string& field, std::string_view piece) {
    n_bytes_ += piece.size();
    QE_CHECK(n_bytes_ <= kMaxRowBytes, text_.path(), ":", line_,
             ": the row that begins here is longer than ", kMaxRowBytes >> 20,
             " MiB (a quote that is not closed?)");
    field += piece;
  }

  TextStream& text_;
  char separator_;
  std::string ends_;  // what ends a field without quotes
  bool after_return_ = false;
  bool blank_ = false;
  int64_t line_ = 1;
  int64_t next_line_ = 1;
  int64_t quote_line_ = 1;
  size_t n_bytes_ = 0;
};

void read_table(TextStream& text, char separator, const RowSink& take) {
  RecordReader records(text, separator);
  std::vector<std::string> names;
  if (!records.next(names, kMaxColumns)) return;
  std::set<std::string_view> distinct;
  for (const std::string& name : names) {
    QE_CHECK(distinct.insert(name).second, text.path(), ":", records.line(),
             ": two columns are named ", quote(name));
  }
  for (std::vector<std::string> fields; records.next(fields, names.size());) {
    QE_CHECK(fields.size() == names.size(), text.path(), ":", records.line(), ": ", fields.size(),
             " fields, the header has ", names.size(), " columns");
    std::vector<Json::Member> row;
    row.reserve(names.size());
    for (size_t i = 0; i < names.size(); ++i) row.emplace_back(names[i], std::move(fields[i]));
    take(Json::object(std::move(row)), records.line());
  }
}

}  // namespace

void read_csv(TextStream& text, const RowSink& take) { read_table(text, ',', take); }
void read_tsv(TextStream& text, const RowSink& take) { read_table(text, '\t', take); }

}  // namespace qe::row_formats
