// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The schema against the reader of configurations: what one accepts, the other does.
#include "formats/run_config_schema.h"

#include <doctest/doctest.h>

#include <cmath>
#include <regex>

#include "formats/run_config_keys.h"
#include "kernels/core/error.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace {

using qe::Json;

bool has_type(const Json& value, const std::string& type) {
  if (type == "integer") {
    return value.is_number() && value.as_double() == std::floor(value.as_double());
  }
  return (type == "null" && value.is_null()) || (type == "boolean" && value.is_bool()) ||
         (type == "number" && value.is_number()) || (type == "string" && value.is_string()) ||
         (type == "array" && value.is_array()) || (type == "object" && value.is_object());
}

/// A validator for the keywords that the schema uses; any other fails the test.
bool is_valid(const Json& value, const Json& schema, const Json& root) {
  const auto holds = [&](const std::string& keyword, const Json& wanted) {
    if (keyword == "type") {
      if (wanted.is_string()) return has_type(value, wanted.as_string());
      return std::any_of(wanted.items().begin(), wanted.items().end(),
                         [&](const Json& type) { return has_type(value, type.as_string()); });
    }
    if (keyword == "enum") {
      return std::any_of(wanted.items().begin(), wanted.items().end(),
                         [&](const Json& one) { return one.dump() == value.dump(); });
    }
    if (keyword == "anyOf") {
      return std::any_of(wanted.items().begin(), wanted.items().end(),
                         [&](const Json& one) { return is_valid(value, one, root); });
    }
    if (keyword == "$ref") {
      const std::string prefix = "#/properties/", target = wanted.as_string();
      REQUIRE(target.starts_with(prefix));
      return is_valid(value, root.at("properties").at(target.substr(prefix.size())), root);
    }
    if (keyword == "minimum") return !value.is_number() || value.as_double() >= wanted.as_double();
    if (keyword == "maximum") return !value.is_number() || value.as_double() <= wanted.as_double();
    if (keyword == "exclusiveMinimum") {
      return !value.is_number() || value.as_double() > wanted.as_double();
    }
    if (keyword == "exclusiveMaximum") {
      return !value.is_number() || value.as_double() < wanted.as_double();
    }
    if (keyword == "minLength") {
      return !value.is_string() || value.as_string().size() >= static_cast<size_t>(wanted.as_int());
    }
    if (keyword == "minItems") {
      return !value.is_array() || value.items().size() >= static_cast<size_t>(wanted.as_int());
    }
    if (keyword == "pattern") {
      return !value.is_string() ||
             std::regex_search(value.as_string(), std::regex(wanted.as_string()));
    }
    if (keyword == "items") {
      return !value.is_array() ||
             std::all_of(value.items().begin(), value.items().end(),
                         [&](const Json& item) { return is_valid(item, wanted, root); });
    }
    if (keyword == "properties") {
      return !value.is_object() ||
             std::all_of(value.members().begin(), value.members().end(), [&](const auto& member) {
               const Json* of_member = wanted.find(member.first);
               return !of_member || is_valid(member.second, *of_member, root);
             });
    }
    if (keyword == "additionalProperties") {
      return !value.is_object() ||
             std::all_of(value.members().begin(), value.members().end(), [&](const auto& member) {
               const Json* const known = schema.find("properties");
               if (known && known->find(member.first)) return true;
               return wanted.is_object() && is_valid(member.second, wanted, root);
             });
    }
    const bool is_text = keyword == "description" || keyword == "default" || keyword == "title" ||
                         keyword == "$schema";
    REQUIRE_MESSAGE(is_text, "the validator does not know " << keyword);
    return true;
  };
  return std::all_of(schema.members().begin(), schema.members().end(),
                     [&](const auto& keyword) { return holds(keyword.first, keyword.second); });
}

bool is_valid(const Json& config) {
  static const Json schema = qe::run_config_schema();
  return is_valid(config, schema, schema);
}

}  // namespace

TEST_CASE("config-schema: every key is in it, settings with help and default") {
  const Json schema = qe::run_config_schema();
  const Json& properties = schema.at("properties");
  for (const auto& row : qe::run_config::settings()) {
    CAPTURE(row.key);
    const Json& of_key = properties.at(row.key);
    CHECK(of_key.at("description").as_string() == row.help);
    const Json value = qe::run_config::stored_value(qe::RunConfig(), row);
    CHECK((of_key.find("default") ? of_key.at("default").dump() : "null") == value.dump());
    CHECK(is_valid(Json::object({{row.key, value}})));
    CHECK(is_valid(Json::object({{row.key, Json()}})));
  }
  const Json keys = Json::parse_file(qe::test::golden_path("settings/keys.json"));
  int n_keys = 0;
  for (const auto& [source, names] : keys.members()) {
    if (!names.is_array()) continue;
    for (const Json& name : names.items()) {
      CAPTURE(name.as_string());
      CHECK(properties.find(name.as_string()) != nullptr);
      ++n_keys;
    }
  }
  CHECK(n_keys > 200);
  CHECK_FALSE(is_valid(Json::object({{"lora_rank", 8}})));
}

TEST_CASE("config-schema: the examples' configurations satisfy it") {
  for (const char* name : {"kjv_demo.json", "kjv_lines.json", "kjv_qlora_preset.json"}) {
    CAPTURE(name);
    const Json config = Json::parse_file(qe::test::example_path(name));
    CHECK(config.members().size() > 3);
    CHECK(is_valid(config));
  }
}

TEST_CASE("config-schema: accepts for each key what the reader accepts for it") {
  const qe::TemporaryFolder folder;
  int n_accepted = 0, n_refused = 0;
  const auto agree = [&](const std::string& key, const Json& value) {
    const Json config = Json::object({{key, value}});
    const std::string path = folder.write("config.json", config.dump());
    const std::string error = qe::error_of([&] { qe::read_run_config(path, {}); });
    // What does not go together is beyond the schema.
    const bool accepted = error.find(": /" + key) == std::string::npos ||
                          error.find("needs target_modules") != std::string::npos ||
                          error.find("means nothing without") != std::string::npos;
    CAPTURE(config.dump());
    CAPTURE(error);
    CHECK(is_valid(config) == accepted);
    ++(accepted ? n_accepted : n_refused);
  };
  const std::vector<Json> probes = {true,
                                    false,
                                    0,
                                    1,
                                    -1,
                                    2,
                                    3,
                                    4,
                                    8,
                                    64,
                                    100,
                                    5000,
                                    65536,
                                    1 << 21,
                                    int64_t{10000000000},
                                    0.0,
                                    0.5,
                                    1.5,
                                    2.0,
                                    -0.5,
                                    99.5,
                                    100.5,
                                    1e-9,
                                    1e13,
                                    "",
                                    "x",
                                    "8GB",
                                    "7.5 MiB",
                                    "8TB",
                                    Json::array(),
                                    Json::array({"x"}),
                                    Json::array({""}),
                                    Json::array({1, 2}),
                                    Json::array({1.5}),
                                    Json::object(),
                                    Json::object({{"x", 1}})};
  for (const auto& row : qe::run_config::settings()) {
    const bool by_kind = row.allowed.shape == qe::run_config::Shape::kIntegers;
    for (const Json& probe : probes) {
      // 2.0 is an integer to a schema; these are taken as peft takes them.
      if (!by_kind || probe.kind() != Json::Kind::kDouble) agree(row.key, probe);
    }
    if (!row.allowed.choices) continue;
    for (const std::string& choice : qe::run_config::split(row.allowed.choices, '|')) {
      if (row.allowed.shape != qe::run_config::Shape::kFlagOrText) agree(row.key, choice);
    }
  }
  for (const auto& row : qe::run_config::aliases()) {
    for (const Json& probe : probes) {
      const bool same =
          is_valid(Json::object({{row.name, probe}})) == is_valid(Json::object({{row.key, probe}}));
      CHECK(same);
    }
  }
  for (const auto& row : qe::run_config::translations()) {
    for (const Json& value : {Json(true), Json(false), Json(3), Json("x")}) agree(row.key, value);
  }
  for (const auto& row : qe::run_config::foreign_keys()) {
    for (const Json& value : {Json(), Json(true), Json("x"), Json(12345)}) agree(row.key, value);
  }
  agree("preset", "qlora");
  agree("preset", "x");
  agree("$schema", "schema.json");
  CHECK(n_accepted > 500);
  CHECK(n_refused > 1000);
}
