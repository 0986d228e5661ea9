// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/dataset/text_reader.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <span>
#include <string_view>

#include "formats/json.h"
#include "formats/mapped_file.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr int32_t kNoLabel = -100;

/// Calls take(line, number) for every line, without its end ("\n" or "\r\n"). A last line without
/// an end counts, an empty one after the last end does not. A byte order mark is skipped.
template <class Take>
void for_each_line(std::span<const std::byte> bytes, Take&& take) {
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    take(line, number);
  }
}

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

/// Turns rows into records. The first row decides which column is read, as a table's header would.
class RowReader {
 public:
  explicit RowReader(const std::string& text_column) : column_(text_column) {}

  Record read(const Json& row) {
    row.members();  // a row is an object
    if (column_.empty() && !pretokenized_) choose_column(row);
    Record record;
    if (!pretokenized_) {
      record.text = row.at(column_).as_string();
      return record;
    }
    const Json& ids = row.at("input_ids");
    record.input_ids = read_ids(ids, 0, 0);
    QE_CHECK(!record.input_ids.empty(), ids.where(), ": empty");
    const size_t n = record.input_ids.size();
    record.labels = read_companion(row, "labels", n, kNoLabel);
    record.token_type_ids = read_companion(row, "token_type_ids", n, 0);
    for (const int32_t kept : read_companion(row, "attention_mask", n, 0)) {
      QE_CHECK(kept == 1, row.at("attention_mask").where(),
               ": expected ones only, rows must not be padded");
    }
    return record;
  }

 private:
  void choose_column(const Json& row) {
    if (row.find("input_ids")) {
      pretokenized_ = true;
      return;
    }
    if (row.find("text")) {
      column_ = "text";
      return;
    }
    for (const auto& [key, value] : row.members()) {
      if (value.is_string()) {
        column_ = key;
        return;
      }
    }
    fail(row.where(), ": no text column: expected \"text\", another string, or \"input_ids\"");
  }

  std::string column_;
  bool pretokenized_ = false;
};

void read_text(const MappedFile& file, const std::function<void(Record&&)>& take) {
  for_each_line(file.bytes(), [&](std::string_view line, int64_t number) {
    Record record;
    record.text = line;
    record.line = number;
    take(std::move(record));
  });
}

void read_json_lines(const MappedFile& file, const std::string& text_column,
                     const std::function<void(Record&&)>& take) {
  RowReader reader(text_column);
  for_each_line(file.bytes(), [&](std::string_view line, int64_t number) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    const std::string place = cat(file.path(), ':', number);
    QE_CHECK(line[line.find_first_not_of(" \t\r")] != '[', place,
             ": a JSON array; expected JSON lines, one object in each line");
    Record record = reader.read(Json::parse(line, place));
    record.line = number;
    take(std::move(record));
  });
}

}  // namespace

void read_records(const std::string& path, const std::string& text_column,
                  const std::function<void(Record&&)>& take) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool text = extension == ".txt";
  QE_CHECK(text || extension == ".jsonl" || extension == ".json", path, ": unknown file type \"",
           extension, "\"; known: .txt, .jsonl, .json (JSON lines)");
  const MappedFile file(path);
  if (text) {
    read_text(file, take);
  } else {
    read_json_lines(file, text_column, take);
  }
}

}  // namespace qe
