// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Initializations that change the base against peft: tests/golden/initial (made by
// scripts/make_initial_goldens.py).
#include <doctest/doctest.h>

#include <filesystem>

#include "engine/convert/converted_tensors.h"
#include "engine/model/split_tensors.h"
#include "engine/train/trainer.h"
#include "tests/support/golden_model.h"
#include "tests/support/random_run.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

struct Golden {
  std::string folder;
  std::string family;
  Json settings, losses;
  SafetensorsFile tensors;
  explicit Golden(const std::string& name)
      : folder(test::golden_path("initial/" + name)), tensors(folder + "/products.safetensors") {
    const Json golden = Json::parse_file(folder + "/golden.json");
    family = test::golden_path("families/" + golden.at("family").as_string());
    settings = golden.at("settings");
    losses = golden.at("losses");
  }
};

constexpr const char* kNames[] = {"pissa", "pissa-dora", "olora", "loftq"};

// s B A.
std::vector<float> product_of(const std::vector<float>& a, const std::vector<float>& b, int64_t r,
                              double scale) {
  const auto rank = static_cast<size_t>(r);
  const size_t in = a.size() / rank, out = b.size() / rank;
  std::vector<float> product(out * in);
  for (size_t i = 0; i < out; ++i) {
    for (size_t j = 0; j < in; ++j) {
      double sum = 0.0;
      for (size_t k = 0; k < rank; ++k) {
        sum += static_cast<double>(b[i * rank + k]) * static_cast<double>(a[k * in + j]);
      }
      product[i * in + j] = static_cast<float>(scale * sum);
    }
  }
  return product;
}

// Two updates of a new adapter, as the golden had them.
RunConfig run_of(const Golden& golden, int64_t bits, const std::string& output_dir) {
  RunConfig config;
  config.model_name_or_path = golden.family + "/model";
  config.train_file = golden.family + "/train.jsonl";
  config.output_dir = output_dir;
  config.max_seq_length = 150;
  config.bits = bits;
  config.lora_r = golden.settings.at("r").as_int();
  config.lora_alpha = golden.settings.at("lora_alpha").as_double();
  config.init_lora_weights = golden.settings.at("init_lora_weights");
  config.target_modules = golden.settings.at("target_modules");
  const auto given = [&](const char* key) {
    const Json* value = golden.settings.find(key);
    return value ? *value : Json();
  };
  config.use_rslora = given("use_rslora").is_bool();
  config.use_dora = given("use_dora").is_bool();
  if (const Json ranks = given("rank_pattern"); !ranks.is_null()) config.rank_pattern = ranks;
  if (const Json alphas = given("alpha_pattern"); !alphas.is_null()) config.alpha_pattern = alphas;
  config.train_sampling_strategy = "sequential";
  config.per_device_train_batch_size = 4;
  config.learning_rate = 5e-3;
  config.lr_scheduler_type = "constant";
  config.weight_decay = 0.01;
  config.max_steps = 2;
  config.logging_steps = 1;
  config.save_strategy = "no";
  config.threads = 2;
  config.device = test::device_setting();
  config.compute_dtype = test::compute_setting();
  return config;
}

std::string bytes_of_results(const std::string& folder) {
  return content_of(folder + "/adapter_model.safetensors") +
         content_of(folder + "/adapter_config.json");
}

}  // namespace

TEST_CASE("lora_init: factors taken out of the base are peft's, and so is the rest") {
  for (const char* name : kNames) {
    const Golden golden(name);
    CAPTURE(golden.folder);
    for (const test::GoldenBase& base : test::kGoldenBases) {
      if (!golden.losses.find(base.name)) continue;
      const RunConfig run = run_of(golden, base.bits, "");
      AdapterConfig settings = lora_config_of(run);
      const EncoderConfig encoder = read_encoder_config(run.model_name_or_path);
      resolve_target_preset(settings, encoder);
      FolderTensors source(run.model_name_or_path, family_of(encoder.model_type));
      std::vector<float> first;
      for (const int n_threads : {1, 3}) {
        ThreadPool threads(n_threads);
        const Context ctx{.threads = &threads};
        SplitTensors split(source, encoder, base_options(run), settings, 1, ctx);
        REQUIRE(!split.factors().empty());
        const LoraTargets targets(settings);
        std::vector<float> all;
        for (const auto& [module, factors] : split.factors()) {
          CAPTURE(module);
          const std::vector<float> product =
              product_of(factors.a, factors.b, targets.rank(module), targets.scale(module));
          const std::vector<float> expected =
              test::golden_tensor(golden.tensors, cat(base.name, ".initial.", module));
          CHECK(test::relative_error(product, expected) < 5e-5);  // torch's own error: fp32
          const StoredTensor& rest = split.read(*split.find(module + ".weight", {}));
          std::vector<float> sum = rest.to_f32();
          all.insert(all.end(), factors.a.begin(), factors.a.end());
          all.insert(all.end(), factors.b.begin(), factors.b.end());
          if (settings.init == AdapterConfig::Init::kLoftq) {
            CHECK(&rest == source.find(module + ".weight", {}));  // the base stays
            continue;
          }
          for (size_t i = 0; i < sum.size(); ++i) sum[i] += product[i];
          const std::vector<float> whole = source.find(module + ".weight", {})->to_f32();
          // OLoRA takes its factors from what 4 bits decode to.
          const bool decoded = base.bits == 4 && quantizes(encoder, module) &&
                               settings.init == AdapterConfig::Init::kOlora;
          CHECK((test::relative_error(sum, whole) < 1e-6) == !decoded);
        }
        if (n_threads == 1) first = all;
        CHECK(all == first);
      }
    }
  }
}

DEVICE_TEST_CASE("lora_init: two updates, and the adapter that fits the base as it was") {
  for (const char* name : kNames) {
    const Golden golden(name);
    CAPTURE(golden.folder);
    for (const test::GoldenBase& base : test::kGoldenBases) {
      if (!golden.losses.find(base.name)) continue;
      const TemporaryFolder out;
      const RunConfig config = run_of(golden, base.bits, out.path() + "/out");
      Trainer trainer(config, Trainer::Task::kTrain, false, Log());
      std::vector<double> losses;
      trainer.train({.on_step = [&](const StepMetrics& step) { losses.push_back(step.loss); }});
      REQUIRE(losses.size() == 2);
      for (size_t i = 0; i < 2; ++i) {
        CHECK(std::abs(losses[i] / golden.losses.at(base.name).items()[i].as_double() - 1.0) <
              test::tolerance(test::Result::kModel, 1e-5));
      }
      const Adapter written = read_adapter(config.output_dir);
      CHECK(written.config.init == AdapterConfig::Init::kDefault);
      const LoraTargets targets(written.config);
      const bool was_split = splits_base(lora_config_of(config).init);
      for (const AdapterPair& pair : written.pairs) {
        CAPTURE(pair.module);
        const std::vector<float> learned =
            product_of(pair.a, pair.b, pair.r, targets.scale(pair.module));
        std::vector<float> expected =
            test::golden_tensor(golden.tensors, cat(base.name, ".learned.", pair.module));
        if (!was_split) {
          const std::vector<float> initial =
              test::golden_tensor(golden.tensors, cat(base.name, ".initial.", pair.module));
          for (size_t i = 0; i < expected.size(); ++i) expected[i] += initial[i];
        }
        if (!test::on_gpu()) CHECK(test::relative_error(learned, expected) < 1e-3);
      }
      if (base.bits == 4 && was_split) continue;  // there rounding has hit another matrix
      test::GoldenModel model(golden.family, base.bits, false);
      model.adapter =
          load_adapter(config.output_dir, model.lm, "model", false, model.ctx, model.memory, Log());
      const std::vector<Record> rows = test::rows_of(golden.family + "/train.jsonl");
      const std::vector<float> logits =
          test::logits_of(model, test::pack(model.lm.config, rows, 0, rows.size(), false));
      const std::vector<float> expected =
          test::golden_tensor(golden.tensors, cat(base.name, ".logits"));
      // W + s (B A - B0 A0) is about W - s B0 A0 + s B A, but in 16 bits more of it is rounded:
      // beside W, of both products A, B and A x, each no larger than W (B0 A0 is a projection of
      // it, from which B A is not far).
      const double roundings = was_split ? 1 + 2 * 3 : 1;
      CHECK(test::relative_error(logits, expected) <
            std::sqrt(roundings) * test::tolerance(test::Result::kModel, 1e-4));
    }
  }
}

DEVICE_TEST_CASE("lora_init: a run over a split base goes on from a checkpoint bit for bit") {
  for (const char* init : {"pissa", "pissa_niter_2", "olora"}) {
    CAPTURE(init);
    const TemporaryFolder folder;
    const auto config_of = [&](const std::string& name) {
      RunConfig config = test::random_run(folder, name);
      config.init_lora_weights = init;
      config.lora_r = 4;
      config.max_steps = 4;
      config.save_strategy = "steps";
      config.save_steps = 2;
      return config;
    };
    const RunConfig whole = config_of("whole");
    test::run(whole);
    RunConfig resumed = config_of("resumed");
    resumed.resume = whole.output_dir + "/checkpoint-2";
    resumed.threads = 1;
    CHECK(test::run(resumed).first_step == 2);
    CHECK(bytes_of_results(resumed.output_dir) == bytes_of_results(whole.output_dir));

    RunConfig other = config_of("other");
    other.resume = resumed.resume;
    other.init_lora_weights = true;
    CHECK(error_of([&] { test::run(other); }).find("init_lora_weights") != std::string::npos);
  }
}

TEST_CASE("lora_init: a base that is stored in 4 bits is decoded, split and quantized again") {
  const std::string folder = test::golden_path("bert/model-nf4");
  const EncoderConfig encoder = read_encoder_config(folder);
  FolderTensors source(folder, family_of(encoder.model_type));
  ThreadPool threads(2);
  AdapterConfig settings;
  settings.r = 4;
  settings.lora_alpha = 4;
  settings.target_modules = {"query"};
  settings.init = AdapterConfig::Init::kOlora;
  SplitTensors split(source, encoder, BaseOptions{}, settings, 1, Context{.threads = &threads});
  REQUIRE(split.factors().size() == 2);
  for (const auto& [module, factors] : split.factors()) {
    const std::string weight = module + ".weight";
    const std::vector<float> before =
        HostQuant4(*source.find_quantized(weight)).dequantized(threads);
    std::vector<float> sum = HostQuant4(*split.find_quantized(weight)).dequantized(threads);
    const std::vector<float> product = product_of(factors.a, factors.b, 4, 1.0);
    CHECK(test::relative_error(sum, before) > 0.1);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += product[i];
    CHECK(test::relative_error(sum, before) < 0.1);  // what 4 bits cost
  }
}

TEST_CASE("lora_init: what cannot be split is refused by name") {
  const Golden golden("pissa");
  const TemporaryFolder out;
  RunConfig config = run_of(golden, 32, out.path() + "/out");
  config.lora_r = 40;
  config.rank_pattern = Json::object();
  CHECK(error_of([&] {
          Trainer(config, Trainer::Task::kTrain, false, Log());
        }).find(": a rank of 40, but init_lora_weights takes factors from a weight of 32 x 32") !=
        std::string::npos);
  config.lora_r = 4;
  config.alpha_pattern = Json::object({{"value", -1}});
  CHECK(error_of([&] {
          Trainer(config, Trainer::Task::kTrain, false, Log());
        }).find(".value: init_lora_weights needs a positive lora_alpha") != std::string::npos);
  config.alpha_pattern = Json::object();
  config.init_lora_weights = "loftq";
  CHECK(error_of([&] { Trainer(config, Trainer::Task::kTrain, false, Log()); }) ==
        "init_lora_weights: \"loftq\" makes up for what 4 bits lose, but no adapted weight is in 4 "
        "bits");
  config.loftq_config = Json::object({{"loftq_iter", 5}});
  CHECK(error_of([&] {
          Trainer(config, Trainer::Task::kTrain, false, Log());
        }).find("loftq_iter: expected 1, got 5: after more the base would not be") !=
        std::string::npos);

  const std::string folder = test::golden_path("bert/model-nf4");
  const EncoderConfig encoder = read_encoder_config(folder);
  FolderTensors source(folder, family_of(encoder.model_type));
  ThreadPool threads(1);
  AdapterConfig settings;
  settings.all_linear = true;
  settings.init = AdapterConfig::Init::kLoftq;
  CHECK(error_of([&] {
          SplitTensors(source, encoder, {}, settings, 1, Context{.threads = &threads});
        }).find("is stored in 4 bits: init_lora_weights \"loftq\" needs its floats, too") !=
        std::string::npos);
}

TEST_CASE("lora_init: orthogonal factors have no product") {
  std::vector<float> a(6 * 50), b(40 * 6);
  initialize_lora(AdapterConfig::Init::kOrthogonal, 3, "x", {a, b, 6, 50, 40});
  for (const float value : product_of(a, b, 6, 1.0)) REQUIRE(std::abs(value) < 1e-7f);
  for (const std::vector<float>* values : {&a, &b}) {  // normal, of deviation sqrt(1 / 2) / 10
    double square = 0.0;
    for (const float value : *values) square += static_cast<double>(value * value);
    CHECK(std::sqrt(square / static_cast<double>(values->size())) ==
          doctest::Approx(0.0707).epsilon(0.15));
  }
  CHECK(error_of([&] {
          initialize_lora(AdapterConfig::Init::kOrthogonal, 3, "x", {a, b, 5, 60, 48});
        }).find("x: the initialization \"orthogonal\" needs an even rank, got 5") == 0);
}

}  // namespace qe
