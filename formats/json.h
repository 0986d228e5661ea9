// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// JSON in (simdjson behind this one header) and out (a small writer of ours).

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace qe {

/// A JSON value: an owned tree, objects in file order, copied deeply. Accessors throw Error naming
/// `where()` (file and JSON path, as in `config.json: /hidden_size`) when the type differs from
/// what was asked. Const access from several threads is safe.
class Json {
 public:
  enum class Kind { kNull, kBool, kInt, kDouble, kString, kArray, kObject };
  using Member = std::pair<std::string, Json>;

  Json() = default;  // null
  Json(bool value);
  Json(int value) : Json(static_cast<int64_t>(value)) {}
  Json(int64_t value);
  Json(double value);
  Json(const char* value) : Json(std::string(value)) {}
  Json(std::string value);
  static Json array(std::vector<Json> items = {});
  static Json object(std::vector<Member> members = {});  ///< Error on duplicate keys

  /// Parses text (UTF-8, a byte order mark is skipped). `name` stands for the document in errors
  /// (usually its path); syntax errors also name line and column (columns in bytes; only the column
  /// when the text is one line). Errors: depth above 64, over 2^23 values, duplicate keys, invalid
  /// UTF-8, numbers beyond double's range. Integers beyond int64 become doubles.
  static Json parse(std::string_view text, const std::string& name);
  /// Reads and parses a whole file of at most max_bytes.
  static Json parse_file(const std::string& path, size_t max_bytes = size_t{1} << 30);

  Kind kind() const { return static_cast<Kind>(value_.index()); }
  bool is_null() const { return kind() == Kind::kNull; }
  bool is_bool() const { return kind() == Kind::kBool; }
  bool is_object() const { return kind() == Kind::kObject; }
  bool is_array() const { return kind() == Kind::kArray; }
  bool is_string() const { return kind() == Kind::kString; }
  bool is_number() const { return kind() == Kind::kInt || kind() == Kind::kDouble; }

  bool as_bool() const;
  int64_t as_int() const;    ///< integers, and doubles with an integral value
  double as_double() const;  ///< any number
  const std::string& as_string() const;
  const std::vector<Json>& items() const;      ///< of an array
  const std::vector<Member>& members() const;  ///< of an object

  /// The member `key` of an object, or null pointer. Binary search in all but small objects.
  const Json* find(std::string_view key) const;
  /// The member `key` of an object; Error when it is missing.
  const Json& at(std::string_view key) const;

  /// Appends to an array / sets a member of an object (replacing in place, else appending; linear
  /// in the number of members). A null value becomes an array / an object first.
  void push_back(Json item);
  void set(std::string key, Json value);

  /// Document name and JSON path of this value, for messages. Empty for values built in code.
  std::string where() const;

  /// Text. indent < 0: one line with ", " and ": " separators, as Python's json.dumps; else
  /// indented by that many spaces per level. Non-ASCII text stays UTF-8 (invalid bytes become
  /// U+FFFD); doubles print shortest round-trip as in Python ("2.0", "1e-05"); non-finite doubles
  /// as null.
  std::string dump(int indent = -1, bool sort_keys = false) const;

 private:
  struct Document;
  struct Object {
    std::vector<Member> members;
    std::vector<uint32_t> by_key;  // member indices sorted by key; empty while there are few
    size_t find(std::string_view key) const;  // members.size() when absent
    void index();                             // builds by_key; Error on duplicate keys
  };
  using Value =
      std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<Json>, Object>;

  template <class T>
  const T& get(const char* expected) const;
  [[noreturn]] void fail_type(const char* expected) const;

  Value value_;  // alternatives in the order of Kind
  std::shared_ptr<const Document> document_;
  uint32_t place_ = 0;  // row of document_
  friend struct JsonBuilder;
};

}  // namespace qe
