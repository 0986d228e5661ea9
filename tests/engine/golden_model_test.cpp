// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The whole model against transformers and peft: logits, loss, every LoRA gradient, over
// tests/golden/bert (made by scripts/make_goldens.py).
#include "tests/support/golden_model.h"

#include <doctest/doctest.h>

namespace qe {
namespace {

const std::string kFolder = test::golden_path("bert");

}  // namespace

DEVICE_TEST_CASE("golden BERT: logits of base and adapter, fp32 and NF4") {
  const SafetensorsFile golden(kFolder + "/forward.safetensors");
  const std::vector<Record> rows = test::rows_of(kFolder + "/train.jsonl");
  for (const auto& [bits, name] : {std::pair{32, "base"}, std::pair{4, "nf4"}}) {
    for (const bool with_adapter : {false, true}) {
      CAPTURE(name);
      CAPTURE(with_adapter);
      test::GoldenModel model(kFolder, bits, with_adapter);
      const PackedBatch batch = test::pack(model.lm.config, rows, 0, 3, true);
      const std::vector<float> logits = test::logits_of(model, batch);
      const std::vector<float> expected = test::golden_tensor(
          golden, std::string(name) + (with_adapter ? ".adapter.logits" : ".logits"));
      if (!test::on_gpu()) CHECK(test::max_difference(logits, expected) < 1e-4);
      CHECK(test::relative_error(logits, expected) < test::tolerance(test::Result::kModel, 1e-5));
    }
  }
}

DEVICE_TEST_CASE("golden BERT: a batch without labels has loss 0 and zero gradients") {
  const SafetensorsFile golden(kFolder + "/forward.safetensors");
  const std::vector<Record> rows = test::rows_of(kFolder + "/no_label.jsonl");
  test::GoldenModel model(kFolder, 32, true);
  const PackedBatch batch = test::pack(model.lm.config, rows, 0, 3, false);
  REQUIRE(batch.n_labels() == 0);
  const MlmTotals totals = model.train(batch, 0.0f, false);
  CHECK(totals.loss == 0.0);
  CHECK(totals.n_labels == 0);
  for (const float g : model.gradients()) REQUIRE(g == 0.0f);

  test::GoldenModel base(kFolder, 32, false);
  const PackedBatch all = test::pack(base.lm.config, rows, 0, 3, true);
  CHECK(test::relative_error(test::logits_of(base, all),
                             test::golden_tensor(golden, "no_label.base.logits")) <
        test::tolerance(test::Result::kModel, 1e-5));
}

DEVICE_TEST_CASE("golden BERT: every LoRA gradient of the first update") {
  const std::vector<Record> rows = test::rows_of(kFolder + "/train.jsonl");
  for (const auto& [bits, name] : {std::pair{32, "base"}, std::pair{4, "nf4"}}) {
    for (const bool checkpoint : {false, true}) {
      CAPTURE(name);
      CAPTURE(checkpoint);
      test::GoldenModel model(kFolder, bits, true);
      const PackedBatch micro[2] = {test::pack(model.lm.config, rows, 0, 3, false),
                                    test::pack(model.lm.config, rows, 3, 3, false)};
      const float inverse_labels =
          1.0f / static_cast<float>(micro[0].n_labels() + micro[1].n_labels());
      for (const PackedBatch& batch : micro) model.train(batch, inverse_labels, checkpoint);
      const SafetensorsFile golden(kFolder + "/" + name + ".gradients.safetensors");
      CHECK(golden.tensors().size() == 2 * model.adapter->pairs().size());
      for (const LoraPair& pair : model.adapter->pairs()) {
        CAPTURE(pair.module);
        const std::string prefix = "base_model.model." + pair.module;
        const double allowed = test::tolerance(test::Result::kModelGradients, 1e-4);
        CHECK(test::relative_error(model.gradient(pair.d_a),
                                   test::golden_tensor(golden, prefix + ".lora_A.weight")) <
              allowed);
        CHECK(test::relative_error(model.gradient(pair.d_b),
                                   test::golden_tensor(golden, prefix + ".lora_B.weight")) <
              allowed);
      }
    }
  }
}

DEVICE_TEST_CASE("gradient checkpointing gives the same bits with less memory") {
  const std::vector<Record> rows = test::rows_of(kFolder + "/train.jsonl");
  std::vector<float> gradients[2];
  size_t n_bytes[2];
  for (const bool checkpoint : {false, true}) {
    test::GoldenModel model(kFolder, 4, true);
    const PackedBatch batch = test::pack(model.lm.config, rows, 0, 12, false);
    model.lm.config.embedding_dropout = 0.1f;
    model.lm.config.attention_output_dropout = 0.1f;
    model.lm.config.ffn_output_dropout = 0.1f;
    model.lm.config.attention_dropout = 0.1f;
    model.train(batch, 1.0f / static_cast<float>(batch.n_labels()), checkpoint);
    gradients[checkpoint] = model.gradients();
    n_bytes[checkpoint] = model.arena.high_water();
  }
  CHECK(gradients[0] == gradients[1]);
  CHECK(n_bytes[1] < n_bytes[0]);
}

}  // namespace qe
