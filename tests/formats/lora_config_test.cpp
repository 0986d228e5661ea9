// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/lora_config.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::vector<std::string> linears_of(const EncoderConfig& encoder) {
  const EncoderNames& n = encoder.names;
  std::vector<std::string> all{n.head_dense};
  for (int64_t i = 0; i < encoder.n_layers; ++i) {
    for (const std::string& pattern :
         {n.query, n.key, n.value, n.attention_output, n.ffn_up, n.ffn_down}) {
      all.push_back(layer_name(pattern, i));
    }
  }
  return all;
}

AdapterConfig read(const std::string& text) { return read_lora_config(Json::parse(text, "lora")); }
std::string error_with(const std::string& text) {
  return error_of([&] { LoraTargets targets(read(text)); });
}

}  // namespace

TEST_CASE("lora_config: peft's modules, ranks and scales for a list of settings") {
  const EncoderConfig encoder = read_encoder_config(test::golden_path("bert/model"));
  const Json golden = Json::parse_file(test::golden_path("settings/lora_targets.json"));
  int n_matched = 0;
  int n_refused = 0;
  for (const Json& row : golden.at("rows").items()) {
    const std::string settings = row.at("settings").dump();
    CAPTURE(settings);
    std::map<std::string, std::pair<int64_t, double>> found;
    const std::string error = error_of([&] {
      AdapterConfig config = read_lora_config(row.at("settings"));
      if (!row.at("settings").find("target_modules")) config.target_regex = "peft-default";
      resolve_target_preset(config, encoder);
      const LoraTargets targets(config);
      if (!config.all_linear) check_targets(targets, encoder);
      for (const std::string& module : linears_of(encoder)) {
        if (targets.matches(module)) {
          found[module] = {targets.rank(module), targets.scale(module)};
        }
      }
    });
    const Json* expected = row.find("modules");
    if (settings.find("decoder") != std::string::npos) {  // peft adapts it, we cannot
      CHECK(error.find("\"cls.predictions.decoder\"") != std::string::npos);
    } else if (settings.find("(?!") != std::string::npos) {
      CHECK(error.find("look-ahead") != std::string::npos);
    } else if (!expected) {
      CHECK((!error.empty() || found.empty()));
      ++n_refused;
    } else {
      CHECK(error == "");
      CHECK(found.size() == expected->members().size());
      for (const auto& [module, value] : expected->members()) {
        CAPTURE(module);
        REQUIRE(found.count(module) == 1);
        CHECK(found[module].first == value.items()[0].as_int());
        CHECK(found[module].second == doctest::Approx(value.items()[1].as_double()).epsilon(1e-12));
        ++n_matched;
      }
    }
  }
  CHECK(n_matched > 100);
  CHECK(n_refused >= 12);
}

// Every Linear of the encoder, as peft would see it.
std::vector<std::string> all_linears_of(const EncoderConfig& encoder) {
  std::vector<std::string> all;
  for (const std::string& pattern : encoder.names.linears()) {
    if (pattern.find("{i}") == std::string::npos) {
      all.push_back(pattern);
      continue;
    }
    for (int64_t i = 0; i < encoder.n_distinct_layers; ++i) all.push_back(layer_name(pattern, i));
  }
  return all;
}

using Matched = std::map<std::string, std::pair<int64_t, double>>;

// A golden case's modules: those of `family` that have a meaning here.
Matched expected_modules(const Json& rows, const Json& patterns, const Family& family) {
  Matched modules;
  for (const Json& row : rows.items()) {
    const std::vector<Json>& fields = row.items();
    const std::string& pattern =
        patterns.items()[static_cast<size_t>(fields[0].as_int())].as_string();
    if (family.canonical_name(pattern + ".weight").empty()) continue;
    const std::pair<int64_t, double> value{fields[2].as_int(), fields[3].as_double()};
    if (pattern.find("{i}") == std::string::npos) {
      modules[pattern] = value;
    } else if (fields[1].is_null()) {
      for (int64_t i = 0; i < 12; ++i) modules[layer_name(pattern, i)] = value;
    } else {
      for (const Json& i : fields[1].items()) modules[layer_name(pattern, i.as_int())] = value;
    }
  }
  return modules;
}

TEST_CASE("lora_config: peft's modules, ranks and scales for every family of 12 layers") {
  const Json golden = Json::parse_file(test::golden_path("settings/family_targets.json"));
  std::set<std::string> seen;
  int n_adapted = 0, n_refused = 0;
  for (const Json& row : golden.at("families").items()) {
    const std::string name = row.at("family").as_string();
    CAPTURE(name);
    const Family& family = family_of(row.at("config").at("model_type").as_string());
    seen.insert(family.model_type);
    const EncoderConfig encoder = family.read(row.at("config"));
    CHECK(encoder.masked_lm_class == row.at("class").as_string());
    CHECK(encoder.parent_library == row.at("library").as_string());
    const std::vector<std::string> linears = all_linears_of(encoder);
    for (const Json& a_case : row.at("cases").items()) {
      const std::string settings = a_case.at("settings").dump();
      CAPTURE(settings);
      Matched found;
      const std::string error = error_of([&] {
        AdapterConfig config = read_lora_config(a_case.at("settings"));
        if (!a_case.at("settings").find("target_modules")) config.target_regex = "peft-default";
        resolve_target_preset(config, encoder);
        const LoraTargets targets(config);
        if (!config.all_linear) check_targets(targets, encoder);
        for (const std::string& module : linears) {
          if (targets.matches(module)) {
            found[module] = {targets.rank(module), targets.scale(module)};
          }
        }
      });
      const Json* modules = a_case.find("modules");
      if (!modules) {
        CHECK((!error.empty() || found.empty()));
        ++n_refused;
        continue;
      }
      const Matched expected = expected_modules(*modules, row.at("patterns"), family);
      const bool only_linears =
          std::all_of(expected.begin(), expected.end(), [&](const auto& module) {
            return std::find(linears.begin(), linears.end(), module.first) != linears.end();
          });
      if (!only_linears) {  // peft adapts an embedding or the decoder
        CHECK(error.find("target_modules also match") == 0);
        ++n_refused;
        continue;
      }
      CHECK(error == "");
      CHECK(found.size() == expected.size());
      for (const auto& [module, value] : expected) {
        CAPTURE(module);
        REQUIRE(found.count(module) == 1);
        CHECK(found[module].first == value.first);
        CHECK(found[module].second == doctest::Approx(value.second).epsilon(1e-12));
        ++n_adapted;
      }
    }
  }
  for (const Family& family : families()) CHECK(seen.count(family.model_type) == 1);
  CHECK(n_adapted > 5000);
  CHECK(n_refused > 50);
}

TEST_CASE("lora_config: presets") {
  const EncoderConfig encoder = read_encoder_config(test::golden_path("bert/model"));
  const auto resolved = [&](const std::string& name) {
    AdapterConfig config = read_lora_config(Json::object({{"target_modules", name}}));
    resolve_target_preset(config, encoder);
    return config;
  };
  using Names = std::vector<std::string>;
  CHECK(resolved("qlora").target_modules == Names{"query", "key", "value", "dense"});
  CHECK(resolved("attention").target_modules == Names{"attention.self.query", "attention.self.key",
                                                      "attention.self.value",
                                                      "attention.output.dense"});
  CHECK(resolved("peft-default").target_modules == Names{"query", "value"});
  CHECK(resolved("All-Linear").all_linear);
  CHECK(resolved(".*query").target_regex == ".*query");
  EncoderConfig other = encoder;
  other.default_lora_targets.clear();
  AdapterConfig config = read(R"({"target_modules": "peft-default"})");
  CHECK(error_of([&] { resolve_target_preset(config, other); }) ==
        "target_modules: peft has no default for model_type \"bert\": give a list of names, or "
        "\"all-linear\"");
}

TEST_CASE("lora_config: what is written reads back the same") {
  for (const char* text :
       {R"({"r": 4, "lora_alpha": 8.5, "use_rslora": true, "target_modules": ["a", "b"],
            "exclude_modules": "x.*", "layers_to_transform": [0, 2], "layers_pattern": ["l"],
            "rank_pattern": {"b": 2, "a": 1}, "alpha_pattern": {"a": 3}})",
        R"({"target_modules": "a|b", "exclude_modules": ["c"], "init_lora_weights": "gaussian"})",
        R"({"target_modules": ["q"], "layers_to_transform": 3, "init_lora_weights": false})"}) {
    const std::vector<Json::Member> once = lora_config_members(read(text));
    const Json written = Json::object(once);
    CHECK(Json::object(lora_config_members(read_lora_config(written))).dump() == written.dump());
  }
  const Json written = Json::object(
      lora_config_members(read(R"({"target_modules": "a|b", "rank_pattern": {"z": 2, "a": 1}})")));
  CHECK(written.at("target_modules").as_string() == "a|b");
  CHECK(written.at("rank_pattern").dump() == R"({"z": 2, "a": 1})");  // the first match counts
}

TEST_CASE("lora_config: settings that cannot be are one clear error") {
  CHECK(error_with(R"({"r": 0})") == "lora: /r: expected 1 to 65536, got 0");
  CHECK(error_with(R"({"rank_pattern": {"a": 0}})") ==
        "lora: /rank_pattern/a: expected 1 to 65536, got 0");
  CHECK(error_with(R"({"rank_pattern": {"(": 2}})").find("lora: /rank_pattern/(: ") == 0);
  CHECK(error_with(R"({"alpha_pattern": {"a": "x"}})").find("lora: /alpha_pattern/a") == 0);
  CHECK(error_with(R"({"target_modules": "(?!a).*"})").find("lora: /target_modules: ") == 0);
  CHECK(error_with(R"({"target_modules": ""})") ==
        "lora: /target_modules: expected a regular expression, got \"\"");
  CHECK(error_with(R"({"exclude_modules": "*"})").find("lora: /exclude_modules: ") == 0);
  CHECK(error_with(R"({"target_modules": "all-linear", "layers_to_transform": 1})")
            .find("lora: /layers_to_transform: needs target_modules to be a list") == 0);
  CHECK(error_with(R"({"target_modules": ["a"], "layers_pattern": "layer"})") ==
        "lora: /layers_pattern: means nothing without layers_to_transform");
  CHECK(error_with(R"({"init_lora_weights": "pissa_niter_x"})") ==
        "lora: /init_lora_weights: expected pissa_niter_N with N of 0 to 1000, got "
        "\"pissa_niter_x\"");
  CHECK(error_with(R"({"init_lora_weights": "pissa_niter_1001"})").find("N of 0 to 1000") !=
        std::string::npos);
  CHECK(error_with(R"({"init_lora_weights": "orthogonal", "r": 3})") ==
        "init_lora_weights: \"orthogonal\" needs even ranks, r is 3");
  CHECK(error_with(R"({"init_lora_weights": "orthogonal", "rank_pattern": {"query": 5}})") ==
        "init_lora_weights: \"orthogonal\" needs even ranks, that of query is 5");
}

TEST_CASE("initializations by name, and the settings of an adapter with both values") {
  const auto init_of = [](const std::string& name) {
    const AdapterConfig config =
        read_lora_config(Json::object({{"init_lora_weights", name}, {"r", 2}}));
    CHECK(Json::object(lora_config_members(config)).at("init_lora_weights").dump() ==
          "\"" + name + "\"");
    return config;
  };
  CHECK(init_of("orthogonal").init == AdapterConfig::Init::kOrthogonal);
  CHECK(init_of("olora").init == AdapterConfig::Init::kOlora);
  CHECK(init_of("pissa").pissa_iterations == -1);
  CHECK(init_of("pissa_niter_16").pissa_iterations == 16);
  CHECK(init_of("pissa_niter_16").init == AdapterConfig::Init::kPissa);
  for (const bool rslora : {false, true}) {
    AdapterConfig config;
    config.r = 3;
    config.lora_alpha = 5;
    config.use_rslora = rslora;
    config.rank_pattern = {{"query", 1}};
    config.alpha_pattern = {{"value", 7}};
    const LoraTargets before(config), after(joined_config(config));
    for (const char* module : {"a.query", "a.value", "a.key"}) {
      CHECK(after.rank(module) == 2 * before.rank(module));
      CHECK(after.scale(module) == doctest::Approx(before.scale(module)).epsilon(1e-14));
    }
  }
}

TEST_CASE("matches_suffix is peft's rule") {
  CHECK(matches_suffix("a.b.query", {"query"}));
  CHECK(matches_suffix("query", {"query"}));
  CHECK(matches_suffix("a.output.dense", {"x", "output.dense"}));
  CHECK_FALSE(matches_suffix("a.myquery", {"query"}));
  CHECK_FALSE(matches_suffix("query.a", {"query"}));
  CHECK_FALSE(matches_suffix("a.query", {}));
}

}  // namespace qe
