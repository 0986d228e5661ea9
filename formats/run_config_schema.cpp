// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/run_config_schema.h"

#include <cmath>
#include <type_traits>

#include "formats/run_config_keys.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

using run_config::Allowed;
using run_config::ForeignKey;
using run_config::Setting;
using run_config::Shape;

/// A schema's members; null is always allowed and means "not given".
using Members = std::vector<Json::Member>;

Json any_of(std::vector<Json> schemas) {
  schemas.push_back(Json::object({{"type", "null"}}));
  return Json::array(std::move(schemas));
}

Json type(const char* name) { return Json::object({{"type", name}}); }

/// What a text of the tables stands for in a file: a flag, a number, a list, or itself.
Json value_of(const std::string& text) {
  try {
    return Json::parse(text, "a value");
  } catch (const Error&) {
    return Json(text);
  }
}

/// Text choices as they are; the numbers and flags among them as such where `typed`.
Json choices_of(const char* choices, bool typed) {
  Json list = Json::array();
  for (const std::string& choice : run_config::split(choices, '|')) {
    list.push_back(typed ? value_of(choice) : Json(choice));
  }
  list.push_back(Json());
  return list;
}

Json bound(double value) {
  return std::fabs(value) < 9e15 && value == std::floor(value) ? Json(static_cast<int64_t>(value))
                                                               : Json(value);
}

Json number(const char* type_name, const Allowed& allowed) {
  Json schema = type(type_name);
  if (std::isfinite(allowed.low)) {
    schema.set(allowed.low_open ? "exclusiveMinimum" : "minimum", bound(allowed.low));
  }
  if (std::isfinite(allowed.high)) {
    schema.set(allowed.high_open ? "exclusiveMaximum" : "maximum", bound(allowed.high));
  }
  return schema;
}

Members numbers(const char* type_name, const Allowed& allowed) {
  if (allowed.power_of_two) {
    Json powers = Json::array();
    for (double power = allowed.low; power <= allowed.high; power *= 2) {
      powers.push_back(bound(power));
    }
    powers.push_back(Json());
    return {{"enum", powers}};
  }
  if (allowed.whole_above_one) {
    Json ratio = number("number", allowed);
    ratio.set("exclusiveMaximum", 1);
    return {{"anyOf", any_of({number("integer", allowed), ratio})}};
  }
  std::vector<Json> forms = {number(type_name, allowed)};
  if (allowed.megabytes) {
    forms.push_back(Json::object(
        {{"type", "string"},
         {"pattern", "^[0-9]+(\\.[0-9]*)?([eE][-+]?[0-9]+)?( *[kKmMgG][iI]?[bB])?$"}}));
  }
  return {{"anyOf", any_of(std::move(forms))}};
}

/// A choice that ends in "_N" is a pattern.
Members flag_or_text(const Setting& row) {
  std::string fixed, pattern;
  for (const std::string& choice : run_config::split(row.allowed.choices, '|')) {
    if (choice.ends_with("_N")) {
      pattern = cat("^", choice.substr(0, choice.size() - 1), "[0-9]{1,3}$");
    } else {
      fixed += (fixed.empty() ? "" : "|") + choice;
    }
  }
  const Json choices = choices_of(fixed.c_str(), true);
  if (pattern.empty()) return {{"enum", choices}};
  return {{"anyOf", Json::array({Json::object({{"enum", choices}}),
                                 Json::object({{"type", "string"}, {"pattern", pattern}})})}};
}

Members shaped(const Setting& row) {
  const auto list_of = [](Json item, bool may_be_empty) {
    Json list = Json::object({{"type", "array"}, {"items", std::move(item)}});
    if (!may_be_empty) list.set("minItems", 1);
    return list;
  };
  const Json name = Json::object({{"type", "string"}, {"minLength", 1}});
  switch (row.allowed.shape) {
    case Shape::kObject:
      return {{"type", Json::array({"object", "null"})}};
    case Shape::kModules:
    case Shape::kNames: {
      const bool is_optional = run_config::stored_value(RunConfig(), row).is_null();
      return {{"anyOf", any_of({name, list_of(name, is_optional)})}};
    }
    case Shape::kIntegers:
      return {{"anyOf", any_of({type("integer"), list_of(type("integer"), true)})}};
    case Shape::kFlagOrText:
      return flag_or_text(row);
    case Shape::kTokens: {
      const Json lists = Json::object(
          {{"type", "object"}, {"additionalProperties", list_of(type("integer"), true)}});
      return {{"anyOf", any_of({list_of(type("integer"), true), lists})}};
    }
  }
  fail(row.key, ": a shape without a schema");
}

Members type_of(const Setting& row) {
  if (std::string_view(row.key) == "resume") {  // resume_from_checkpoint: true
    return {{"type", Json::array({"string", "boolean", "null"})}};
  }
  return std::visit(
      [&](auto member) -> Members {
        using M = decltype(member);
        const Allowed& allowed = row.allowed;
        if constexpr (std::is_same_v<M, Json RunConfig::*>) return shaped(row);
        if constexpr (std::is_same_v<M, bool RunConfig::*> ||
                      std::is_same_v<M, std::optional<bool> RunConfig::*>) {
          return {{"type", Json::array({"boolean", "null"})}};
        }
        constexpr bool kIsText = std::is_same_v<M, std::string RunConfig::*>;
        if (allowed.choices) return {{"enum", choices_of(allowed.choices, !kIsText)}};
        if constexpr (kIsText) return {{"type", Json::array({"string", "null"})}};
        constexpr bool kIsReal = std::is_same_v<M, double RunConfig::*> ||
                                 std::is_same_v<M, std::optional<double> RunConfig::*>;
        return numbers(kIsReal ? "number" : "integer", allowed);
      },
      row.member);
}

Json schema_of(const Setting& row) {
  Members members = type_of(row);
  const Json value = run_config::stored_value(RunConfig(), row);
  if (!value.is_null()) members.emplace_back("default", value);
  members.emplace_back("description", row.help);
  return Json::object(std::move(members));
}

/// A key without effect takes anything, one that is refused its harmless values.
Json schema_of(const ForeignKey& row) {
  if (row.otherwise == ForeignKey::Otherwise::kNote) {
    return Json::object({{"description", cat("does nothing here: ", row.why)}});
  }
  Json harmless = Json::array();
  for (const std::string& value : run_config::split(row.harmless, '|')) {
    if (!value.empty()) harmless.push_back(value_of(value));
  }
  harmless.push_back(Json());
  return Json::object({{"enum", harmless}, {"description", cat("not supported: ", row.why)}});
}

}  // namespace

Json run_config_schema() {
  Json properties = Json::object();
  for (const Setting& row : run_config::settings()) properties.set(row.key, schema_of(row));
  Json presets = Json::array({Json()});
  std::string last;
  for (const auto& row : run_config::preset_values()) {
    if (last != row.preset) presets.push_back(row.preset);
    last = row.preset;
  }
  properties.set(
      "preset",
      Json::object({{"enum", presets},
                    {"description", "another trainer's defaults, below the other keys"}}));
  for (const auto& row : run_config::aliases()) {
    properties.set(row.name, Json::object({{"$ref", cat("#/properties/", row.key)},
                                           {"description", cat("the same as ", row.key)}}));
  }
  for (const auto& row : run_config::translations()) {
    const Json* known = properties.find(row.key);
    Json values = known ? known->at("enum") : Json::array({Json()});
    std::string text = known ? known->at("description").as_string() + "; " : std::string();
    values.push_back(value_of(row.value));
    text += cat(row.value, ": ",
                row.setting ? cat(row.setting, " ", row.setting_value) : "nothing is set");
    properties.set(row.key, Json::object({{"enum", values}, {"description", text}}));
  }
  for (const ForeignKey& row : run_config::foreign_keys()) {
    properties.set(row.key, schema_of(row));
  }
  properties.set(run_config::kSchemaKey,
                 Json::object({{"type", "string"}, {"description", "where this schema is"}}));
  return Json::object({{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                       {"title", "qlora-engine run configuration"},
                       {"type", "object"},
                       {"properties", properties},
                       {"additionalProperties", false}});
}

}  // namespace qe
