// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Every model family against transformers and peft: logits, loss, LoRA gradients and one optimizer
// step, over the folders of tests/golden/families (made by scripts/make_family_goldens.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "engine/train/trainer.h"
#include "formats/mapped_file.h"
#include "tests/support/golden_model.h"
#include "tests/support/golden_run.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

std::vector<std::string> golden_families() {
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(test::golden_path("families"))) {
    folders.push_back(entry.path().string());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

// On the CPU: the largest absolute difference of a logit.
double logit_tolerance(const std::string& family) {
  return family.find("deberta") == std::string::npos ? 1e-4 : 5e-4;
}

}  // namespace

TEST_CASE("every family has a golden") {
  for (const Family& family : families()) {
    const std::string name = family.model_type;
    CAPTURE(name);
    const std::string folder = test::golden_path("families/" + name);
    CHECK(read_encoder_config(folder + "/model").model_type == name);
  }
}

DEVICE_TEST_CASE("golden families: logits and loss, of the base and with an adapter") {
  for (const std::string& folder : golden_families()) {
    const SafetensorsFile golden(folder + "/forward.safetensors");
    const Json losses = Json::parse_file(folder + "/golden.json").at("loss");
    const std::vector<Record> rows = test::rows_of(folder + "/train.jsonl");
    for (const test::GoldenBase& base : test::kGoldenBases) {
      for (const bool with_adapter : {false, true}) {
        const std::string name = std::string(base.name) + (with_adapter ? ".adapter" : "");
        CAPTURE(folder);
        CAPTURE(name);
        test::GoldenModel model(folder, base.bits, with_adapter);
        const PackedBatch batch = test::pack(model.lm.config, rows, 0, rows.size(), false);
        const std::vector<float> logits = test::logits_of(model, batch);
        const std::vector<float> expected = test::golden_tensor(golden, name + ".logits");
        if (!test::on_gpu()) {
          CHECK(test::max_difference(logits, expected) < logit_tolerance(folder));
        }
        CHECK(test::relative_error(logits, expected) < test::tolerance(test::Result::kModel, 1e-5));

        test::GoldenModel loss_model(folder, base.bits, with_adapter);
        const float inverse_labels = 1.0f / static_cast<float>(batch.n_labels());
        const MlmTotals totals = loss_model.train(batch, inverse_labels, false);
        const double loss = totals.loss / static_cast<double>(totals.n_labels);
        const double expected_loss = losses.at(name).as_double();
        CHECK(std::abs(loss / expected_loss - 1.0) < test::tolerance(test::Result::kModel, 1e-5));
      }
    }
  }
}

DEVICE_TEST_CASE("NomicBERT under the names of published checkpoints is the same model") {
  const std::string folder = test::golden_path("families/nomic_bert");
  const SafetensorsFile golden(folder + "/forward.safetensors");
  const std::vector<Record> rows = test::rows_of(folder + "/train.jsonl");
  test::GoldenModel model(folder, 32, false, "model-checkpoint");
  const PackedBatch batch = test::pack(model.lm.config, rows, 0, rows.size(), false);
  CHECK(test::relative_error(test::logits_of(model, batch),
                             test::golden_tensor(golden, "base.logits")) <
        test::tolerance(test::Result::kModel, 1e-5));
  CHECK(model.lm.lora_sites().size() == 2 * 7 + 1);
}

DEVICE_TEST_CASE("golden families: every LoRA gradient, with and without checkpointing") {
  for (const std::string& folder : golden_families()) {
    const std::vector<Record> rows = test::rows_of(folder + "/train.jsonl");
    for (const test::GoldenBase& base : test::kGoldenBases) {
      const SafetensorsFile golden(folder + "/" + base.name + ".gradients.safetensors");
      std::vector<float> gradients[2];
      for (const bool checkpoint : {false, true}) {
        CAPTURE(folder);
        const std::string base_name = base.name;
        CAPTURE(base_name);
        test::GoldenModel model(folder, base.bits, true);
        const PackedBatch batch = test::pack(model.lm.config, rows, 0, rows.size(), false);
        model.train(batch, 1.0f / static_cast<float>(batch.n_labels()), checkpoint);
        gradients[checkpoint] = model.gradients();
        test::ComparedMatrices compared;
        for (const LoraPair& pair : model.adapter->pairs()) {
          const std::string prefix = "base_model.model." + pair.module;
          compared.add(prefix + ".lora_A.weight", model.gradient(pair.d_a), golden);
          compared.add(prefix + ".lora_B.weight", model.gradient(pair.d_b), golden);
        }
        compared.check();
      }
      CHECK(gradients[0] == gradients[1]);
    }
  }
}

// The slope of the loss along a direction in the adapter's parameters, by the gradient and by the
// loss itself.
TEST_CASE("gradients are the loss's slope where every dropout is active") {
  for (const std::string family : {"modernbert", "roberta", "deberta-conv", "deberta-absolute"}) {
    CAPTURE(family);
    const std::string folder = test::golden_path("families/" + family);
    const std::vector<Record> rows = test::rows_of(folder + "/train.jsonl");
    const auto loss_at = [&](double distance, std::vector<float>* gradients, bool checkpoint) {
      test::GoldenModel model(folder, 32, true);
      EncoderConfig& config = model.lm.config;
      for (float* p : {&config.embedding_dropout, &config.attention_dropout, &config.ffn_dropout,
                       &config.attention_output_dropout, &config.ffn_output_dropout}) {
        *p = 0.2f;
      }
      const std::span<float> parameters = model.adapter->parameters();
      for (size_t i = 0; i < parameters.size(); ++i) {
        parameters[i] += static_cast<float>(distance) * (i % 3 == 0 ? 1.0f : -0.5f);
      }
      const PackedBatch batch = test::pack(config, rows, 0, rows.size(), false);
      const MlmTotals totals =
          model.train(batch, 1.0f / static_cast<float>(batch.n_labels()), checkpoint);
      if (gradients) *gradients = model.gradients();
      return totals.loss / static_cast<double>(totals.n_labels);
    };
    std::vector<float> gradients, checkpointed;
    loss_at(0.0, &gradients, false);
    loss_at(0.0, &checkpointed, true);
    CHECK(gradients == checkpointed);
    double slope = 0.0;
    for (size_t i = 0; i < gradients.size(); ++i) {
      slope += static_cast<double>(gradients[i]) * (i % 3 == 0 ? 1.0 : -0.5);
    }
    constexpr double kStep = 2e-3;
    const double by_loss =
        (loss_at(kStep, nullptr, false) - loss_at(-kStep, nullptr, false)) / (2.0 * kStep);
    CHECK(by_loss == doctest::Approx(slope).epsilon(2e-3));
  }
}

DEVICE_TEST_CASE("golden families: one optimizer step") {
  for (const std::string& folder : golden_families()) {
    CAPTURE(folder);
    const TemporaryFolder out;
    const RunConfig config = test::golden_step(folder, folder + "/adapter", out.path() + "/out");
    Trainer(config, Trainer::Task::kTrain, false, Log()).train({});
    const SafetensorsFile trained(config.output_dir + "/adapter_model.safetensors");
    const SafetensorsFile golden(folder + "/base.final.safetensors");
    REQUIRE(trained.tensors().size() == golden.tensors().size());
    test::ComparedMatrices compared;
    for (const auto& [name, tensor] : golden.tensors()) {
      compared.add(name, test::golden_tensor(trained, name), golden);
    }
    compared.check();
  }
}

}  // namespace qe
