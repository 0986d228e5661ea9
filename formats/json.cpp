// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/json.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>

#include "formats/library_versions.h"
#include "formats/mapped_file.h"
#include "formats/quote.h"
#include "formats/utf8.h"
#include "kernels/core/error.h"

// Reading walks simdjson's on-demand parser over the whole document and builds the tree. Number
// tokens are converted here: simdjson refuses integers beyond 64 bits, which real files hold
// (tokenizer_config.json's model_max_length of 1e30).
//
// The place of a value (for messages) is a row in a table shared by all values of a document: its
// parent's row and its key or index. A value keeps the row's number, so a vocabulary of a quarter
// of a million entries costs 12 bytes and the key's text for each, not a path string.

namespace qe {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxValues = size_t{1} << 23;  // of a document: 0.8 GB of Json
constexpr size_t kFewMembers = 16;              // up to here a linear search is as good as an index
constexpr uint32_t kIsIndex = UINT32_MAX;

/// Python's repr of a double: shortest digits that read back, exponent form below 1e-4 and from
/// 1e16 on, always recognizable as a double.
void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char text[40];
  const double magnitude = std::fabs(value);
  const bool fixed = magnitude == 0.0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto end = std::to_chars(text, text + sizeof text, value,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific)
                       .ptr;
  const std::string_view digits(text, static_cast<size_t>(end - text));
  out += digits;
  if (fixed && digits.find('.') == std::string_view::npos) out += ".0";
}

/// True when `token` follows JSON's number grammar; *is_integer: no fraction and no exponent.
bool is_json_number(std::string_view token, bool* is_integer) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t begin = i;
    while (i < token.size() && token[i] >= '0' && token[i] <= '9') ++i;
    return i - begin;
  };
  if (i < token.size() && token[i] == '-') ++i;
  const size_t first = i;
  const size_t n_integer = digits();
  if (n_integer == 0 || (n_integer > 1 && token[first] == '0')) return false;
  *is_integer = i == token.size();
  if (i < token.size() && token[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < token.size() && (token[i] == 'e' || token[i] == 'E')) {
    ++i;
    if (i < token.size() && (token[i] == '+' || token[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == token.size();
}

/// What simdjson's first pass refused, and where: it names only the kind of error.
struct TextError {
  std::string reason;
  size_t offset;
};
TextError find_text_error(std::string_view text, simdjson::error_code code) {
  if (code == simdjson::UTF8_ERROR) return {"invalid UTF-8", valid_utf8_prefix_length(text)};
  size_t string_begin = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && static_cast<unsigned char>(text[i]) < 0x20) {
      return {"control character inside a string", i};
    }
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
      string_begin = i;
    }
  }
  if (in_string) return {"unclosed string", string_begin};
  return {simdjson::error_message(code), text.size()};
}

std::string describe(simdjson::error_code code) {
  if (code == simdjson::TAPE_ERROR || code == simdjson::INCOMPLETE_ARRAY_OR_OBJECT) {
    return "not JSON: something is missing or superfluous here (comma, colon, bracket, key, value)";
  }
  return simdjson::error_message(code);
}

/// "line 3, column 7" of a byte offset; both count from one, columns in bytes. Only the column in
/// a text of one line, whose name may already end in a line number.
std::string line_and_column(std::string_view text, size_t offset) {
  offset = std::min(offset, text.size());
  const std::string_view before = text.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 == 0
  const std::string column = cat("column ", offset - line_begin + 1);
  return text.find('\n') == std::string_view::npos ? column : cat("line ", line, ", ", column);
}

}  // namespace

/// Where every value of one parsed document stands.
struct Json::Document {
  struct Row {
    uint32_t parent;
    uint32_t begin;  // of the key in `keys`; or the index in an array
    uint32_t size;   // of the key; kIsIndex in an array
  };
  std::string name;
  std::vector<Row> rows;  // row 0 is the root
  std::string keys;

  std::string where(uint32_t place) const {
    std::vector<uint32_t> path;
    for (; place != 0; place = rows[place].parent) path.push_back(place);
    std::string out = name;
    if (!path.empty()) out += ": ";
    for (size_t i = path.size(); i-- > 0;) {
      const Row& row = rows[path[i]];
      out += '/';
      if (row.size == kIsIndex) {
        out += std::to_string(row.begin);
      } else {
        append_escaped(out, abbreviated(std::string_view(keys).substr(row.begin, row.size), 100));
      }
    }
    return out;
  }
};

/// Builds the tree of one document from simdjson's on-demand values.
struct JsonBuilder {
  using Value = simdjson::ondemand::value;

  std::string_view text;  // the document, in simdjson's buffer
  std::shared_ptr<Json::Document> document = std::make_shared<Json::Document>();

  uint32_t add_row(uint32_t parent, uint32_t begin, uint32_t size) {
    QE_CHECK(document->rows.size() < kMaxValues, document->name, ": more than ", kMaxValues,
             " values");
    document->rows.push_back({parent, begin, size});
    return static_cast<uint32_t>(document->rows.size() - 1);
  }

  Json build(Value value, uint32_t place, int depth) {
    Json json;
    json.document_ = document;
    json.place_ = place;
    switch (value.type().value()) {
      case simdjson::ondemand::json_type::array:
        build_array(value, json, depth + 1);
        break;
      case simdjson::ondemand::json_type::object:
        build_object(value, json, depth + 1);
        break;
      case simdjson::ondemand::json_type::string:
        build_string(value, json);
        break;
      default:
        build_token(value.raw_json_token(), json);
    }
    return json;
  }

  void build_string(Value& value, Json& json) const {
    const std::string_view raw = value.raw_json_token();
    std::string_view unescaped;
    if (value.get_string().get(unescaped)) {
      const auto offset = static_cast<size_t>(raw.data() - text.data());
      fail(json.where(), ": ", line_and_column(text, offset), ": invalid escape in a string");
    }
    json.value_ = std::string(unescaped);
  }

  void build_array(Value& value, Json& json, int depth) {
    check_depth(json, depth);
    std::vector<Json> items;
    uint32_t i = 0;
    for (auto item : value.get_array()) {
      items.push_back(build(item.value(), add_row(json.place_, i++, kIsIndex), depth));
    }
    json.value_ = std::move(items);
  }

  void build_object(Value& value, Json& json, int depth) {
    check_depth(json, depth);
    Json::Object object;
    for (auto field : value.get_object()) {
      std::string key(field.unescaped_key().value());
      const uint32_t row = add_row(json.place_, static_cast<uint32_t>(document->keys.size()),
                                   static_cast<uint32_t>(key.size()));
      document->keys += key;
      object.members.emplace_back(std::move(key), build(field.value().value(), row, depth));
    }
    try {
      object.index();
    } catch (const Error& error) {
      fail(json.where(), ": ", error.what());
    }
    json.value_ = std::move(object);
  }

  static void check_depth(const Json& json, int depth) {
    QE_CHECK(depth <= kMaxDepth, abbreviated(json.where(), 200), ": nested deeper than ", kMaxDepth,
             " levels");
  }

  /// Numbers, true, false and null. `raw` may end in white space.
  void build_token(std::string_view raw, Json& json) const {
    const size_t end = raw.find_last_not_of(" \t\r\n");
    const std::string_view token = raw.substr(0, end == std::string_view::npos ? 0 : end + 1);
    bool is_integer = false;
    if (token == "null") return;
    if (token == "true" || token == "false") {
      json.value_ = token == "true";
      return;
    }
    if (!is_json_number(token, &is_integer)) {
      std::string shown;
      append_escaped(shown, abbreviated(token, 60));
      const auto offset = static_cast<size_t>(raw.data() - text.data());
      fail(json.where(), ": ", line_and_column(text, offset), ": expected a value, got ", shown);
    }
    int64_t integer = 0;
    const char* last = token.data() + token.size();
    if (is_integer && std::from_chars(token.data(), last, integer).ec == std::errc()) {
      json.value_ = integer;
      return;
    }
    double number = 0.0;
    QE_CHECK(std::from_chars(token.data(), last, number).ec == std::errc(), json.where(),
             ": number out of double's range: ", abbreviated(token, 60));
    json.value_ = number;
  }
};

size_t Json::Object::find(std::string_view key) const {
  if (by_key.empty()) {
    const auto at = std::find_if(members.begin(), members.end(),
                                 [&](const Member& m) { return m.first == key; });
    return static_cast<size_t>(at - members.begin());
  }
  const auto at = std::lower_bound(
      by_key.begin(), by_key.end(), key,
      [&](uint32_t i, std::string_view wanted) { return members[i].first < wanted; });
  return at != by_key.end() && members[*at].first == key ? *at : members.size();
}

void Json::Object::index() {
  std::vector<uint32_t> order(members.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return members[a].first < members[b].first; });
  for (size_t i = 1; i < order.size(); ++i) {
    const std::string& key = members[order[i]].first;
    if (key != members[order[i - 1]].first) continue;
    fail("duplicate key ", quote(key));
  }
  by_key.clear();
  if (members.size() > kFewMembers) by_key = std::move(order);
}

Json::Json(bool value) : value_(value) {}
Json::Json(int64_t value) : value_(value) {}
Json::Json(double value) : value_(value) {}
Json::Json(std::string value) : value_(std::move(value)) {}

Json Json::array(std::vector<Json> items) {
  Json json;
  json.value_ = std::move(items);
  return json;
}

Json Json::object(std::vector<Member> members) {
  Object object{std::move(members), {}};
  object.index();
  Json json;
  json.value_ = std::move(object);
  return json;
}

Json Json::parse(std::string_view text, const std::string& name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  // Parsed inside a pair of brackets: a document of one scalar, an empty one and trailing content
  // then need no rules of their own.
  simdjson::padded_string buffer(text.size() + 2);
  buffer.data()[0] = '[';
  if (!text.empty()) std::memcpy(buffer.data() + 1, text.data(), text.size());
  buffer.data()[text.size() + 1] = ']';

  simdjson::ondemand::parser parser;
  simdjson::ondemand::document stream;
  if (const auto code = parser.iterate(buffer).get(stream)) {
    const TextError error = find_text_error(text, code);
    fail(name, ": ", line_and_column(text, error.offset), ": ", error.reason);
  }
  JsonBuilder builder;
  builder.text = {buffer.data() + 1, text.size()};
  builder.document->name = name;
  builder.add_row(0, 0, kIsIndex);
  const auto position = [&] {
    const char* at = nullptr;
    if (stream.current_location().get(at)) at = builder.text.data() + text.size();
    return line_and_column(
        text, static_cast<size_t>(std::max(at, builder.text.data()) - builder.text.data()));
  };
  try {
    Json json;
    size_t n_values = 0;
    for (auto item : stream.get_array()) {
      auto value = item.value();
      QE_CHECK(++n_values == 1, name, ": ", position(), ": unexpected text after the value");
      json = builder.build(value, 0, 0);
    }
    QE_CHECK(stream.current_location().error() == simdjson::OUT_OF_BOUNDS, name, ": ", position(),
             ": unexpected text after the value");
    QE_CHECK(n_values == 1, name, ": empty, expected a JSON value");
    return json;
  } catch (const simdjson::simdjson_error& error) {
    fail(name, ": ", position(), ": ", describe(error.error()));
  }
}

Json Json::parse_file(const std::string& path, size_t max_bytes) {
  const MappedFile file(path);
  QE_CHECK(file.bytes().size() <= max_bytes, path, ": ", file.bytes().size(), " bytes, at most ",
           max_bytes, " are read as JSON");
  return parse({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path);
}

void Json::fail_type(const char* expected) const {
  const std::string place = where();
  fail(place, place.empty() ? "" : ": ", "expected ", expected, ", got ", abbreviated(dump(), 60));
}

template <class T>
const T& Json::get(const char* expected) const {
  const T* value = std::get_if<T>(&value_);
  if (!value) fail_type(expected);
  return *value;
}

bool Json::as_bool() const { return get<bool>("true or false"); }

int64_t Json::as_int() const {
  if (const double* number = std::get_if<double>(&value_)) {
    if (*number >= -0x1p63 && *number < 0x1p63 && *number == std::trunc(*number)) {
      return static_cast<int64_t>(*number);
    }
    fail_type("a 64-bit integer");
  }
  return get<int64_t>("an integer");
}

double Json::as_double() const {
  if (const int64_t* integer = std::get_if<int64_t>(&value_)) return static_cast<double>(*integer);
  return get<double>("a number");
}

const std::string& Json::as_string() const { return get<std::string>("a string"); }
const std::vector<Json>& Json::items() const { return get<std::vector<Json>>("an array"); }
const std::vector<Json::Member>& Json::members() const { return get<Object>("an object").members; }

const Json* Json::find(std::string_view key) const {
  const Object& object = get<Object>("an object");
  const size_t i = object.find(key);
  return i < object.members.size() ? &object.members[i].second : nullptr;
}

const Json& Json::at(std::string_view key) const {
  const Json* value = find(key);
  if (!value) {
    const std::string place = where();
    fail(place, place.empty() ? "" : ": ", "missing key \"", key, "\"");
  }
  return *value;
}

void Json::push_back(Json item) {
  if (is_null()) value_ = std::vector<Json>();
  get<std::vector<Json>>("an array");
  std::get<std::vector<Json>>(value_).push_back(std::move(item));
}

void Json::set(std::string key, Json value) {
  if (is_null()) value_ = Object();
  const size_t i = get<Object>("an object").find(key);
  Object& object = std::get<Object>(value_);
  if (i < object.members.size()) {
    object.members[i].second = std::move(value);
    return;
  }
  object.members.emplace_back(std::move(key), std::move(value));
  if (object.by_key.empty()) {
    if (object.members.size() > kFewMembers) object.index();
    return;
  }
  const auto at = std::lower_bound(
      object.by_key.begin(), object.by_key.end(), object.members.back().first,
      [&](uint32_t k, const std::string& wanted) { return object.members[k].first < wanted; });
  object.by_key.insert(at, static_cast<uint32_t>(object.members.size() - 1));
}

std::string Json::where() const { return document_ ? document_->where(place_) : std::string(); }

namespace {

/// Writes one tree; `level` is the nesting depth of the value being written.
class JsonWriter {
 public:
  JsonWriter(int indent, bool sort_keys) : indent_(indent), sort_keys_(sort_keys) {}

  void write(const Json& json, int level) {
    switch (json.kind()) {
      case Json::Kind::kNull:
        out_ += "null";
        break;
      case Json::Kind::kBool:
        out_ += json.as_bool() ? "true" : "false";
        break;
      case Json::Kind::kInt:
        out_ += std::to_string(json.as_int());
        break;
      case Json::Kind::kDouble:
        append_double(out_, json.as_double());
        break;
      case Json::Kind::kString:
        write_string(json.as_string());
        break;
      case Json::Kind::kArray:
        write_array(json.items(), level);
        break;
      case Json::Kind::kObject:
        write_object(json.members(), level);
        break;
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void write_string(const std::string& text) {
    out_ += '"';
    append_escaped(out_, text);
    out_ += '"';
  }
  void separate(bool first, int level) {
    if (!first) out_ += indent_ < 0 ? ", " : ",";
    if (indent_ >= 0) break_line(level);
  }
  void break_line(int level) {
    out_ += '\n';
    out_.append(static_cast<size_t>(indent_) * static_cast<size_t>(level), ' ');
  }
  void write_array(const std::vector<Json>& items, int level) {
    out_ += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      separate(i == 0, level + 1);
      write(items[i], level + 1);
    }
    if (indent_ >= 0 && !items.empty()) break_line(level);
    out_ += ']';
  }
  void write_object(const std::vector<Json::Member>& members, int level) {
    std::vector<const Json::Member*> order;
    for (const Json::Member& member : members) order.push_back(&member);
    if (sort_keys_) {
      std::sort(order.begin(), order.end(),
                [](const auto* a, const auto* b) { return a->first < b->first; });
    }
    out_ += '{';
    for (size_t i = 0; i < order.size(); ++i) {
      separate(i == 0, level + 1);
      write_string(order[i]->first);
      out_ += ": ";
      write(order[i]->second, level + 1);
    }
    if (indent_ >= 0 && !members.empty()) break_line(level);
    out_ += '}';
  }

  int indent_;
  bool sort_keys_;
  std::string out_;
};

}  // namespace

std::string Json::dump(int indent, bool sort_keys) const {
  JsonWriter writer(indent, sort_keys);
  writer.write(*this, 0);
  return writer.take();
}

LibraryVersion version_of_simdjson() {
#define QE_TEXT_OF(x) #x
#define QE_TEXT(x) QE_TEXT_OF(x)
  return {"simdjson", QE_TEXT(SIMDJSON_VERSION), simdjson::get_active_implementation()->name()};
#undef QE_TEXT
#undef QE_TEXT_OF
}

}  // namespace qe
