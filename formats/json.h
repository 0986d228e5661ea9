// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// JSON in (simdjson behind this one header) and out (a small writer of ours).

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qe {

/// A parsed JSON value: an owned tree, objects in file order. Accessors throw Error naming
/// `where()` (file and JSON path, as in `config.json: /hidden_size`) when the type differs from
/// what was asked.
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
  static Json object(std::vector<Member> members = {});

  /// Parses text. `name` stands for the document in errors (usually its path). Depth is capped at
  /// 64; duplicate keys in an object are an error.
  static Json parse(std::string_view text, const std::string& name);
  /// Reads and parses a whole file of at most max_bytes.
  static Json parse_file(const std::string& path, size_t max_bytes = size_t{1} << 30);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_object() const { return kind_ == Kind::kObject; }
  bool is_array() const { return kind_ == Kind::kArray; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_number() const { return kind_ == Kind::kInt || kind_ == Kind::kDouble; }

  bool as_bool() const;
  int64_t as_int() const;    ///< integers, and doubles with an integral value
  double as_double() const;  ///< any number
  const std::string& as_string() const;
  const std::vector<Json>& items() const;      ///< of an array
  const std::vector<Member>& members() const;  ///< of an object

  /// The member `key` of an object, or null pointer.
  const Json* find(std::string_view key) const;
  /// The member `key` of an object; Error when it is missing.
  const Json& at(std::string_view key) const;

  /// Appends to an array / sets a member of an object (replacing in place).
  void push_back(Json item);
  void set(std::string key, Json value);

  /// Document name and JSON path of this value, for messages. Empty for values built in code.
  const std::string& where() const { return where_; }

  /// Text. indent < 0: one line with ", " and ": " separators, as Python's json.dumps; else
  /// indented by that many spaces per level. Non-ASCII text stays UTF-8; doubles print shortest
  /// round-trip; non-finite doubles as null.
  std::string dump(int indent = -1, bool sort_keys = false) const;

 private:
  Kind kind_ = Kind::kNull;
  bool bool_ = false;
  int64_t int_ = 0;
  double double_ = 0.0;
  std::string string_;
  std::vector<Json> items_;
  std::vector<Member> members_;
  std::string where_;
  friend struct JsonBuilder;
};

}  // namespace qe
