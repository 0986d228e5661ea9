// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Variants of LoRA against peft: logits, loss, gradients and one optimizer step, over the folders
// of tests/golden/adapters (made by scripts/make_adapter_goldens.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "engine/convert/converted_tensors.h"
#include "engine/train/trainer.h"
#include "tests/support/golden_model.h"
#include "tests/support/golden_run.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

struct Variant {
  std::string folder;
  std::string family;  // its folder of tests/golden/families
  Json losses;
  double loraplus_lr_ratio = 1.0;
  std::vector<Record> rows;
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const auto& entry : std::filesystem::directory_iterator(test::golden_path("adapters"))) {
    Variant variant{.folder = entry.path().string()};
    const Json golden = Json::parse_file(variant.folder + "/golden.json");
    variant.family = test::golden_path("families/" + golden.at("family").as_string());
    variant.losses = golden.at("loss");
    if (const Json* ratio = golden.find("loraplus_lr_ratio")) {
      variant.loraplus_lr_ratio = ratio->as_double();
    }
    variant.rows = test::rows_of(variant.family + "/train.jsonl");
    all.push_back(std::move(variant));
  }
  std::sort(all.begin(), all.end(),
            [](const Variant& a, const Variant& b) { return a.folder < b.folder; });
  REQUIRE(all.size() >= 15);
  return all;
}

// Whether a gradient is nothing but rounding, as that of a bias of keys: softmax does not see it.
bool is_rounding(const std::vector<float>& gradient) {
  return std::ranges::all_of(gradient, [](float g) { return std::abs(g) < 1e-6f; });
}

// The variant's adapter over its base.
struct VariantModel : test::GoldenModel {
  VariantModel(const Variant& variant, int64_t bits) : GoldenModel(variant.family, bits, false) {
    adapter = load_adapter(variant.folder + "/adapter", lm, "model", true, ctx, memory, Log());
  }
};

}  // namespace

DEVICE_TEST_CASE("adapter variants: logits and loss") {
  for (const Variant& variant : variants()) {
    const SafetensorsFile golden(variant.folder + "/forward.safetensors");
    for (const test::GoldenBase& base : test::kGoldenBases) {
      CAPTURE(variant.folder);
      const std::string name = base.name;
      CAPTURE(name);
      VariantModel model(variant, base.bits);
      const PackedBatch batch =
          test::pack(model.lm.config, variant.rows, 0, variant.rows.size(), false);
      const std::vector<float> logits = test::logits_of(model, batch);
      const std::vector<float> expected = test::golden_tensor(golden, name + ".logits");
      if (!test::on_gpu()) CHECK(test::max_difference(logits, expected) < 1e-4);
      CHECK(test::relative_error(logits, expected) < test::tolerance(test::Result::kModel, 1e-5));

      VariantModel loss_model(variant, base.bits);
      const float inverse_labels = 1.0f / static_cast<float>(batch.n_labels());
      const MlmTotals totals = loss_model.train(batch, inverse_labels, false);
      const double loss = totals.loss / static_cast<double>(totals.n_labels);
      CHECK(std::abs(loss / variant.losses.at(name).as_double() - 1.0) <
            test::tolerance(test::Result::kModel, 1e-5));
    }
  }
}

DEVICE_TEST_CASE("adapter variants: every gradient, with and without checkpointing") {
  for (const Variant& variant : variants()) {
    for (const test::GoldenBase& base : test::kGoldenBases) {
      const SafetensorsFile golden(variant.folder + "/" + base.name + ".gradients.safetensors");
      std::vector<float> gradients[2];
      for (const bool checkpoint : {false, true}) {
        CAPTURE(variant.folder);
        VariantModel model(variant, base.bits);
        const PackedBatch batch =
            test::pack(model.lm.config, variant.rows, 0, variant.rows.size(), false);
        model.train(batch, 1.0f / static_cast<float>(batch.n_labels()), checkpoint);
        gradients[checkpoint] = model.gradients();
        test::ComparedMatrices compared;
        for (const NamedParameter& parameter : model.adapter->named()) {
          const std::string name = "base_model.model." + parameter.name;
          const std::vector<float> found = model.gradient(parameter.gradient);
          if (!is_rounding(test::golden_tensor(golden, name))) {
            compared.add(name, found, golden);
          } else if (!test::on_gpu()) {
            CHECK(is_rounding(found));
          }
        }
        CHECK(model.adapter->named().size() == golden.tensors().size());
        compared.check();
      }
      CHECK(gradients[0] == gradients[1]);
    }
  }
}

DEVICE_TEST_CASE("adapter variants: with dropout checkpointing gives the same bits") {
  for (const Variant& variant : variants()) {
    CAPTURE(variant.folder);
    std::vector<float> gradients[2];
    for (const bool checkpoint : {false, true}) {
      VariantModel model(variant, 4);
      Adapter stored = read_adapter(variant.folder + "/adapter");
      stored.config.lora_dropout = 0.3;
      model.adapter = make_adapter(stored.config, model.lm, true, model.ctx, model.memory);
      model.adapter->assign(stored, variant.folder);
      const PackedBatch batch =
          test::pack(model.lm.config, variant.rows, 0, variant.rows.size(), false);
      model.train(batch, 1.0f / static_cast<float>(batch.n_labels()), checkpoint);
      gradients[checkpoint] = model.gradients();
    }
    CHECK(gradients[0] == gradients[1]);
  }
}

TEST_CASE("adapter variants: merged, the same logits") {
  for (const Variant& variant : variants()) {
    CAPTURE(variant.folder);
    const SafetensorsFile golden(variant.folder + "/forward.safetensors");
    for (const test::GoldenBase& base : test::kGoldenBases) {
      const TemporaryFolder out;
      ThreadPool threads(2);
      ConvertOptions options{.base = ConvertOptions::Base::kTrained,
                             .trained = {.bits = base.bits},
                             .dtype = DType::kF32,
                             .adapters = {{variant.folder + "/adapter", 1.0}}};
      ConvertedTensors(variant.family + "/model", options, Context{.threads = &threads})
          .write(out.path());
      test::GoldenModel model(out.path(), 32, false, "");
      const PackedBatch batch =
          test::pack(model.lm.config, variant.rows, 0, variant.rows.size(), false);
      CHECK(test::max_difference(test::logits_of(model, batch),
                                 test::golden_tensor(golden, std::string(base.name) + ".logits")) <
            1e-4);
    }
  }
}

TEST_CASE("adapters with magnitudes are merged alone, with weight 1") {
  const std::string adapter = test::golden_path("adapters/dora/adapter");
  const std::string plain = test::golden_path("families/roberta/adapter");
  ThreadPool threads(1);
  const auto error = [&](std::vector<WeightedAdapter> adapters) {
    try {
      ConvertedTensors(test::golden_path("families/roberta/model"), {.adapters = adapters},
                       Context{.threads = &threads});
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(error({{adapter, 1.0}}) == "");
  CHECK(error({{adapter, 0.5}}).find("is merged with weight 1, got 0.5") != std::string::npos);
  CHECK(error({{adapter, 1.0}, {plain, 1.0}}).find("is merged alone") != std::string::npos);
  CHECK(error({{plain, 1.0}, {adapter, 1.0}}).find("is merged alone") != std::string::npos);
}

TEST_CASE("a new adapter with magnitudes changes nothing at first") {
  const std::string folder = test::golden_path("families/roberta");
  const std::vector<Record> rows = test::rows_of(folder + "/train.jsonl");
  for (const int64_t bits : {4, 32}) {
    std::vector<float> logits[2];
    for (const bool with_adapter : {false, true}) {
      test::GoldenModel model(folder, bits, false);
      if (with_adapter) {
        AdapterConfig config;
        config.use_dora = true;
        config.all_linear = true;
        model.adapter = make_adapter(config, model.lm, true, model.ctx, model.memory);
        model.adapter->initialize(5);
      }
      logits[with_adapter] =
          test::logits_of(model, test::pack(model.lm.config, rows, 0, rows.size(), false));
    }
    CHECK(test::max_difference(logits[0], logits[1]) < 1e-6);
  }
}

DEVICE_TEST_CASE("adapter variants: one optimizer step, as it is written") {
  for (const Variant& variant : variants()) {
    CAPTURE(variant.folder);
    const TemporaryFolder out;
    RunConfig config =
        test::golden_step(variant.family, variant.folder + "/adapter", out.path() + "/out");
    config.loraplus_lr_ratio = variant.loraplus_lr_ratio;
    Trainer(config, Trainer::Task::kTrain, false, Log()).train({});
    const SafetensorsFile trained(config.output_dir + "/adapter_model.safetensors");
    const SafetensorsFile golden(variant.folder + "/base.final.safetensors");
    const SafetensorsFile gradients(variant.folder + "/base.gradients.safetensors");
    REQUIRE(trained.tensors().size() == golden.tensors().size());
    test::ComparedMatrices compared;
    for (const auto& [name, tensor] : golden.tensors()) {
      CHECK(trained.tensors().at(name).shape == tensor.shape);
      // The first step takes a gradient's sign.
      const bool known = gradients.tensors().contains(name);
      if (known && is_rounding(test::golden_tensor(gradients, name))) continue;
      compared.add(name, test::golden_tensor(trained, name), golden);
    }
    compared.check();
  }
}

}  // namespace qe
