// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/dataset/text_reader.h"

#include <charconv>
#include <limits>
#include <utility>

#include "formats/dataset/registry.h"
#include "formats/json.h"
#include "formats/quote.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr int32_t kNoLabel = -100;
constexpr const char* kPairColumn = "text_pair";
constexpr size_t kMaxNames = 300;  // bytes of column names in a message

/// Integers of [low, INT32_MAX], or `extra`.
std::vector<int32_t> read_ids(const Json& array, int64_t low, int64_t extra) {
  std::vector<int32_t> ids;
  ids.reserve(array.items().size());
  for (const Json& item : array.items()) {
    const int64_t id = item.as_int();
    QE_CHECK((id >= low && id <= std::numeric_limits<int32_t>::max()) || id == extra, item.where(),
             ": ", id, " is out of range");
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

/// The optional array `key`, which must be as long as input_ids.
std::vector<int32_t> read_companion(const Json& row, const char* key, size_t n_ids, int64_t extra) {
  const Json* array = row.find(key);
  if (!array || array->is_null()) return {};
  std::vector<int32_t> values = read_ids(*array, 0, extra);
  QE_CHECK(values.size() == n_ids, array->where(), ": ", values.size(), " values for ", n_ids,
           " input_ids");
  return values;
}

bool is_number(const std::string& text) {
  double value = 0.0;
  const char* end = text.data() + text.size();
  return std::from_chars(text.data(), end, value).ptr == end && !text.empty();
}

std::string column_names(const Json& row) {
  std::string out;
  for (const auto& [key, value] : row.members()) out += (out.empty() ? "" : ", ") + key;
  return printable(out, kMaxNames);
}

/// Turns rows into records. The first row decides which columns are read, as a table's header
/// would.
class RowReader {
 public:
  explicit RowReader(const TextColumns& columns) : text_(columns.text), pair_(columns.pair) {}

  Record read(const Json& row) {
    if (std::exchange(first_, false)) choose_columns(row);
    Record record;
    if (pretokenized_) {
      read_given(row, record);
    } else {
      record.text = column(row, text_).as_string();
      if (!pair_.empty()) record.pair = column(row, pair_).as_string();
    }
    return record;
  }

 private:
  static const Json& column(const Json& row, const std::string& name) {
    const Json* value = row.find(name);
    if (!value) {
      const std::string place = row.where();
      fail(place, place.empty() ? "" : ": ", "no column \"", name,
           "\"; columns: ", column_names(row));
    }
    return *value;
  }

  static void read_given(const Json& row, Record& record) {
    const Json& ids = column(row, "input_ids");
    record.input_ids = read_ids(ids, 0, 0);
    QE_CHECK(!record.input_ids.empty(), ids.where(), ": empty");
    const size_t n = record.input_ids.size();
    record.labels = read_companion(row, "labels", n, kNoLabel);
    record.token_type_ids = read_companion(row, "token_type_ids", n, 0);
    for (const int32_t kept : read_companion(row, "attention_mask", n, 0)) {
      QE_CHECK(kept == 1, row.at("attention_mask").where(),
               ": expected ones only, rows must not be padded");
    }
  }

  void choose_columns(const Json& row) {
    if (text_.empty()) {
      pretokenized_ = row.find("input_ids") != nullptr;
      if (!pretokenized_) text_ = text_column(row);
    }
    if (pair_.empty() && row.find(kPairColumn) && text_ != kPairColumn) pair_ = kPairColumn;
  }

  static std::string text_column(const Json& row) {
    if (row.find("text")) return "text";
    const std::string* first = nullptr;
    for (const auto& [key, value] : row.members()) {
      if (!value.is_string()) continue;
      if (!is_number(value.as_string())) return key;
      if (!first) first = &key;
    }
    if (first) return *first;
    const std::string place = row.where();
    fail(place, place.empty() ? "" : ": ",
         "no text column: expected \"text\", another string, or \"input_ids\"");
  }

  std::string text_, pair_;
  bool first_ = true;
  bool pretokenized_ = false;
};

}  // namespace

void read_records(const std::string& path, const TextColumns& columns,
                  const std::function<void(Record&&)>& take) {
  const DatasetFileType type = dataset_file_type(path);
  TextStream text(path);
  RowReader reader(columns);
  type.format->read(text, [&](Json&& row, int64_t line) {
    Record record;
    try {
      record = reader.read(row);
    } catch (const Error& error) {
      if (!row.where().empty()) throw;
      fail(path, ":", line, ": ", error.what());
    }
    record.line = line;
    take(std::move(record));
  });
}

}  // namespace qe
