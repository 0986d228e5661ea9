// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Combined adapters against peft's: tests/golden/combined (scripts/make_combined_goldens.py).
#include "engine/convert/combined_adapter.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

const std::string kFirst = test::golden_path("combined/first");
const std::string kSecond = test::golden_path("combined/second");

CombineOptions::Type type_of(const std::string& name) {
  if (name == "cat") return CombineOptions::Type::kCat;
  return name == "svd" ? CombineOptions::Type::kSvd : CombineOptions::Type::kLinear;
}

Adapter combined(const CombineOptions& options, int n_threads = 2) {
  ThreadPool threads(n_threads);
  return combine_adapters(options, threads);
}

std::string error_with(const CombineOptions& options) {
  return error_of([&] { combined(options); });
}

// s B A of a pair.
std::vector<float> product_of(const AdapterPair& pair, const AdapterConfig& config) {
  const double scale = LoraTargets(config).scale(pair.module);
  const auto r = static_cast<size_t>(pair.r), in = static_cast<size_t>(pair.in);
  std::vector<float> product(static_cast<size_t>(pair.out) * in);
  for (size_t i = 0; i < product.size(); ++i) {
    double sum = 0.0;
    for (size_t k = 0; k < r; ++k) {
      sum += static_cast<double>(pair.b[i / in * r + k]) *
             static_cast<double>(pair.a[k * in + i % in]);
    }
    product[i] = static_cast<float>(scale * sum);
  }
  return product;
}

}  // namespace

TEST_CASE("combined_adapter: every way gives peft's products") {
  const SafetensorsFile golden(test::golden_path("combined/products.safetensors"));
  const Json json = Json::parse_file(test::golden_path("combined/golden.json"));
  size_t n = 0;
  for (const auto& [name, way] : json.at("combinations").members()) {
    CAPTURE(name);
    const Json* rank = way.find("svd_rank");
    const std::vector<Json>& weights = way.at("weights").items();
    const CombineOptions options{
        .type = type_of(way.at("combination_type").as_string()),
        .svd_rank = rank ? rank->as_int() : 0,
        .adapters = {{kFirst, weights[0].as_double()}, {kSecond, weights[1].as_double()}}};
    const Adapter found = combined(options);
    CHECK(found.config.r == (name == "cat" ? 6 : rank ? 4 : 3));
    for (const AdapterPair& pair : found.pairs) {
      CAPTURE(pair.module);
      const std::vector<float> expected = test::golden_tensor(golden, cat(name, ".", pair.module));
      CHECK(test::relative_error(product_of(pair, found.config), expected) < 5e-5);  // torch: fp32
      ++n;
    }
    const Adapter again = combined(options, 1);
    for (size_t i = 0; i < found.pairs.size(); ++i) {
      CHECK(again.pairs[i].a == found.pairs[i].a);
      CHECK(again.pairs[i].b == found.pairs[i].b);
    }
  }
  CHECK(n == golden.tensors().size());
}

TEST_CASE("combined_adapter: ranks by pattern, one adapter, and what is written") {
  const TemporaryFolder folder;
  AdapterConfig config;
  config.r = 2;
  config.lora_alpha = 3;
  config.target_modules = {"query", "key"};
  config.rank_pattern = {{"key", 1}};
  config.base_model_name_or_path = "model";
  const std::vector<float> ones(64, 1.0f);
  const auto write = [&](const std::string& name, int64_t in) {
    std::filesystem::create_directories(folder.path() + "/" + name);
    write_adapter(folder.path() + "/" + name, config,
                  {.pairs = {{"a.key", 1, in, 4, ones.data(), ones.data()},
                             {"a.query", 2, in, 4, ones.data(), ones.data()}}});
    return folder.path() + "/" + name;
  };
  const std::string plain = write("plain", 8);
  using Type = CombineOptions::Type;
  for (const Type type : {Type::kLinear, Type::kCat, Type::kSvd}) {
    const size_t n = type == Type::kLinear ? 1 : 2;
    CombineOptions options{.type = type};
    for (size_t i = 0; i < n; ++i) options.adapters.push_back({plain, 0.5});
    const Adapter found = combined(options);
    AdapterView view;
    for (const AdapterPair& pair : found.pairs) {
      view.pairs.push_back({pair.module, pair.r, pair.in, pair.out, pair.a.data(), pair.b.data()});
      // Each adapter's product: scale 3 and 1 row of ones, or 3 / 2 and 2 rows.
      for (const float value : product_of(pair, found.config)) {
        CHECK(value == doctest::Approx(1.5 * static_cast<double>(n)));
      }
    }
    const std::string out = folder.path() + "/out" + std::to_string(static_cast<int>(type));
    std::filesystem::create_directories(out);
    write_adapter(out, found.config, view);
    const Adapter read = read_adapter(out);
    CHECK(read.config.target_modules == std::vector<std::string>{"a.key", "a.query"});
    CHECK(read.config.base_model_name_or_path == "model");
    CHECK(read.pairs[0].a == found.pairs[0].a);
  }
  CHECK(error_with({.type = Type::kSvd, .svd_rank = 5, .adapters = {{plain, 1}, {plain, 1}}}) ==
        "a.key: a rank of 5 for a weight of 4 x 8");
  CHECK(error_with({.adapters = {{plain, 1.0}, {write("wide", 9), 1.0}}})
            .find("/wide: a.key: the adapter is for another base: expected a 4 x 8 linear, got 4 x "
                  "9") != std::string::npos);
  CHECK(error_with({.type = Type::kLinear, .adapters = {{kFirst, 1}, {plain, 1}}})
            .find("/plain: the adapters have ranks 3 and 2, but factors of different ranks") !=
        std::string::npos);
  CHECK(error_with({.adapters = {{kFirst, 1}, {test::golden_path("adapters/dora/adapter"), 1}}})
            .find("an adapter with magnitudes (DoRA) cannot be combined") != std::string::npos);
  CHECK(error_with({}) == "no adapter to combine");
  // The same ranks in all, but not here.
  config.rank_pattern = {{"query", 1}};
  const std::string other = folder.path() + "/other";
  std::filesystem::create_directories(other);
  write_adapter(other, config, {.pairs = {{"a.key", 2, 8, 4, ones.data(), ones.data()}}});
  CHECK(error_with({.type = Type::kLinear, .adapters = {{plain, 1}, {other, 1}}})
            .find("a.key: the adapters have ranks 1 and 2 here") == 0);
  config.bias = AdapterConfig::Bias::kLoraOnly;
  write_adapter(other, config,
                {.pairs = {{"a.key", 2, 8, 4, ones.data(), ones.data()}},
                 .tensors = {{"a.key.base_layer.bias", {4}, ones.data()}}});
  CHECK(error_with({.adapters = {{plain, 1}, {other, 1}}})
            .find("/other: an adapter that has parameters in full (bias, modules_to_save, "
                  "trainable_token_indices) cannot be combined") != std::string::npos);
}

}  // namespace qe
