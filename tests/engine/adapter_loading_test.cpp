// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/adapter_loading.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>

#include "engine/convert/converted_tensors.h"
#include "engine/memory/planning.h"
#include "engine/model/lora_init.h"
#include "engine/model/weight_loader.h"
#include "tests/support/golden_model.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

struct Base {
  ThreadPool threads{2};
  StepState step;
  Memory memory{false};
  Arena arena;
  Context ctx{.threads = &threads, .arena = &arena, .step = &step};
  std::string folder = test::golden_path("bert/model");
  MaskedLm model = load_masked_lm(folder, BaseOptions{.bits = 32}, ctx, memory);
  std::vector<std::string> warnings;
  Log log{[this](LogLevel, const std::string& line) { warnings.push_back(line); }};

  std::unique_ptr<LoraAdapter> load(const std::string& adapter) {
    return load_adapter(adapter, model, folder, false, ctx, memory, log);
  }
};

}  // namespace

TEST_CASE("adapter_loading: a peft adapter with patterns and rsLoRA gives peft's logits") {
  Base base;
  const std::unique_ptr<LoraAdapter> adapter = base.load(test::golden_path("settings/adapter"));
  CHECK(base.warnings.empty());
  CHECK(adapter->pairs().size() == 6);
  CHECK(adapter->pair(0)->r == 2);
  CHECK(adapter->pair(0)->scale == doctest::Approx(5 / std::sqrt(2.0)));
  const SafetensorsFile golden(test::golden_path("settings/adapter_logits.safetensors"));
  const std::vector<int32_t> ids{2, 70, 4, 81, 9, 3};
  PackedBatch batch;
  batch.append(base.model.config, 0, ids, {}, ids);
  batch.token_capacity = batch.label_capacity = 6;
  std::vector<float> logits(6 * base.model.config.vocab_size);
  const auto run = [&](Context& ctx) {
    Tape tape(ctx, false);
    masked_lm_logits(base.model, {.tape = &tape, .batch = batch, .adapter = adapter.get()},
                     make_tensor(logits.data(), 6, base.model.config.vocab_size));
  };
  const size_t n_bytes = planned_arena_bytes(base.ctx, run);
  base.arena = Arena(base.memory.allocate("arena", n_bytes), n_bytes);
  run(base.ctx);
  const std::vector<float> expected = test::golden_tensor(golden, "logits");
  CHECK(test::relative_error(logits, expected) < 1e-5);
}

TEST_CASE(
    "adapter_loading: an adapter of another base is an error, another base's name a warning") {
  const TemporaryFolder folder;
  Base base;
  const std::string good = test::golden_path("settings/adapter");
  const auto changed = [&](const std::string& name, const std::string& key, const Json& value) {
    const std::string copy = folder.path() + "/" + name;
    std::filesystem::copy(good, copy);
    Json config = Json::parse_file(copy + "/adapter_config.json");
    config.set(key, value);
    folder.write(name + "/adapter_config.json", config.dump());
    return copy;
  };
  base.load(changed("named", "base_model_name_or_path", "org/other-base"));
  REQUIRE(base.warnings.size() == 1);
  CHECK(base.warnings[0].ends_with(
      "the adapter was made for \"org/other-base\", the base here is \"" + base.folder + "\""));
  base.load(changed("same", "base_model_name_or_path", "/elsewhere/model/"));
  CHECK(base.warnings.size() == 1);

  const std::string other = changed("names", "target_modules", Json("q_proj"));
  CHECK(error_of([&] {
          base.load(other);
        }).find("/names: the adapter is for another base: target_modules [q_proj] match no") !=
        std::string::npos);
  CHECK(error_of([&] {
          base.load(changed("more", "target_modules", Json(".*query")));
        }).find("this model has no linear") != std::string::npos);
  const std::string wide = folder.path() + "/wide";
  std::filesystem::create_directories(wide);
  const std::vector<float> ones(200, 1.0f);
  AdapterConfig config;
  config.r = 1;
  config.target_modules = {"0.attention.self.query"};
  const AdapterPairView pair{
      "bert.encoder.layer.0.attention.self.query", 1, 96, 48, ones.data(), ones.data()};
  write_adapter(wide, config, {{pair}, {}});
  CHECK(error_of([&] { base.load(wide); })
            .find("the adapter is for another base: expected A (1, 48) and B (48, 1), got A (1, "
                  "96)") != std::string::npos);
}

TEST_CASE("adapter_loading: an adapter that peft wrote for the bare encoder gives the logits") {
  const std::string adapter = test::golden_path("bare_adapter/adapter");
  const std::string family = test::golden_path("families/bert");
  for (const AdapterPair& pair : read_adapter(adapter).pairs) {
    CHECK((pair.module.starts_with("encoder.layer.") || pair.module == "pooler.dense"));
  }
  test::GoldenModel model(family, 32, false);
  model.adapter = load_adapter(adapter, model.lm, "model", true, model.ctx, model.memory, Log());
  const std::vector<Record> rows = test::rows_of(family + "/train.jsonl");
  const std::vector<float> logits =
      test::logits_of(model, test::pack(model.lm.config, rows, 0, rows.size(), false));
  const SafetensorsFile golden(test::golden_path("bare_adapter/forward.safetensors"));
  CHECK(test::relative_error(logits, test::golden_tensor(golden, "logits")) <
        test::tolerance(test::Result::kModel, 1e-5));
  // What it is written as is the masked language model's.
  const TemporaryFolder out;
  write_adapter(out.path(), model.adapter->config(), model.adapter->views());
  const Adapter written = read_adapter(out.path());
  CHECK(written.pairs.size() == 6);
  for (const AdapterPair& pair : written.pairs) CHECK(pair.module.starts_with("bert.encoder."));
  ThreadPool threads(1);
  const ConvertedTensors merged(family + "/model", {.adapters = {{adapter, 1.0}}},
                                Context{.threads = &threads});
  CHECK(merged.n_merged() == 6);
}

TEST_CASE("lora_init: the three ways to begin") {
  std::vector<float> a(8 * 5000), b(300 * 8), again = a, other = a;
  const auto fill = [&](AdapterConfig::Init init, std::vector<float>& to, uint64_t seed) {
    initialize_lora(init, seed, "x.query", {to, b, 8, 5000, 300});
  };
  const auto moments = [](const std::vector<float>& values) {
    double mean = 0, variance = 0, largest = 0, kurtosis = 0;
    for (const float v : values) mean += v / static_cast<double>(values.size());
    for (const float v : values)
      variance += (v - mean) * (v - mean) / static_cast<double>(values.size());
    for (const float v : values) {
      kurtosis +=
          std::pow((v - mean) / std::sqrt(variance), 4) / static_cast<double>(values.size());
      largest = std::max(largest, static_cast<double>(std::abs(v)));
    }
    return std::tuple{mean, std::sqrt(variance), largest, kurtosis};
  };
  fill(AdapterConfig::Init::kDefault, a, 1);
  const auto [mean, deviation, largest, kurtosis] = moments(a);
  CHECK(largest <= 1 / std::sqrt(5000.0));
  CHECK(deviation == doctest::Approx(1 / std::sqrt(3 * 5000.0)).epsilon(0.02));
  CHECK(kurtosis == doctest::Approx(1.8).epsilon(0.05));
  CHECK(std::abs(mean) < 4 * deviation / 200);
  for (const float v : b) REQUIRE(v == 0.0f);
  fill(AdapterConfig::Init::kRandom, again, 1);
  CHECK(again == a);
  const auto [b_mean, b_deviation, b_largest, b_kurtosis] = moments(b);
  CHECK(b_largest <= static_cast<double>(static_cast<float>(1 / std::sqrt(8.0))));
  CHECK(b_deviation == doctest::Approx(1 / std::sqrt(24.0)).epsilon(0.05));
  CHECK(b[0] != a[0]);

  fill(AdapterConfig::Init::kGaussian, a, 1);
  const auto [g_mean, g_deviation, g_largest, g_kurtosis] = moments(a);
  CHECK(std::abs(g_mean) < 4 * 0.125 / 200);
  CHECK(g_deviation == doctest::Approx(0.125).epsilon(0.02));
  CHECK(g_kurtosis == doctest::Approx(3.0).epsilon(0.05));
  CHECK(g_largest > 3.5 * 0.125);
  for (const float v : b) REQUIRE(v == 0.0f);
  fill(AdapterConfig::Init::kGaussian, again, 1);
  CHECK(again == a);
  fill(AdapterConfig::Init::kGaussian, other, 2);
  CHECK(other != a);
}

}  // namespace qe
