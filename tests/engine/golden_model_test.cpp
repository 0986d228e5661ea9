// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The whole model against transformers and peft: logits, loss, every LoRA gradient, over
// tests/golden/bert (made by scripts/make_goldens.py).
#include <doctest/doctest.h>

#include <map>

#include "engine/memory/planning.h"
#include "engine/model/weight_loader.h"
#include "formats/dataset/text_reader.h"
#include "tests/support/golden.h"

namespace qe {
namespace {

const std::string kFolder = test::golden_path("bert");

std::vector<Record> rows_of(const std::string& name) {
  std::vector<Record> rows;
  read_records(kFolder + "/" + name, {}, [&](Record&& row) { rows.push_back(std::move(row)); });
  return rows;
}

// A loaded model with everything needed to run it.
struct Model {
  ThreadPool threads{2};
  StepState step;
  Memory memory{false};
  Context ctx;
  MaskedLm lm;
  std::unique_ptr<LoraAdapter> adapter;
  Arena arena;

  Model(int64_t bits, bool with_adapter) {
    ctx = Context{.threads = &threads, .arena = &arena, .step = &step};
    lm = load_masked_lm(kFolder + "/model", BaseOptions{.bits = bits}, ctx, memory);
    if (with_adapter) {
      const Adapter stored = read_adapter(kFolder + "/adapter");
      adapter = std::make_unique<LoraAdapter>(stored.config, lm.lora_sites(), lm.n_linears(), true,
                                              memory);
      adapter->assign(stored, kFolder + "/adapter");
    }
  }

  // Plans, allocates and runs.
  template <class Run>
  void run(const Run& body) {
    const size_t n_bytes = planned_arena_bytes(ctx, body);
    arena = Arena(memory.allocate("arena", n_bytes), n_bytes);
    body(ctx);
    CHECK(arena.high_water() == n_bytes);
    CHECK(arena.in_use() == 0);
  }
};

PackedBatch pack(const EncoderConfig& config, const std::vector<Record>& rows, size_t begin,
                 size_t n, bool label_all) {
  PackedBatch batch;
  for (size_t i = begin; i < begin + n; ++i) {
    batch.append(config, static_cast<uint32_t>(i), rows[i].input_ids, rows[i].token_type_ids,
                 label_all ? rows[i].input_ids : rows[i].labels);
  }
  batch.token_capacity = batch.n_tokens();
  batch.label_capacity = std::max<int64_t>(1, batch.n_labels());
  return batch;
}

std::vector<float> logits_of(Model& model, const PackedBatch& batch) {
  std::vector<float> logits(batch.n_labels() * model.lm.config.vocab_size);
  model.run([&](Context& ctx) {
    Tape tape(ctx, false);
    masked_lm_logits(model.lm, ForwardPass{&tape, &batch, model.adapter.get(), false},
                     make_tensor(logits.data(), batch.n_labels(), model.lm.config.vocab_size));
  });
  return logits;
}

}  // namespace

TEST_CASE("golden BERT: logits of base and adapter, fp32 and NF4") {
  const SafetensorsFile golden(kFolder + "/forward.safetensors");
  const std::vector<Record> rows = rows_of("train.jsonl");
  for (const auto& [bits, name] : {std::pair{32, "base"}, std::pair{4, "nf4"}}) {
    for (const bool with_adapter : {false, true}) {
      CAPTURE(name);
      CAPTURE(with_adapter);
      Model model(bits, with_adapter);
      const PackedBatch batch = pack(model.lm.config, rows, 0, 3, true);
      const std::vector<float> logits = logits_of(model, batch);
      const std::vector<float> expected = test::golden_tensor(
          golden, std::string(name) + (with_adapter ? ".adapter.logits" : ".logits"));
      CHECK(test::max_difference(logits, expected) < 1e-4);
      CHECK(test::relative_error(logits, expected) < 1e-5);
    }
  }
}

TEST_CASE("golden BERT: a batch without labels has loss 0 and zero gradients") {
  const SafetensorsFile golden(kFolder + "/forward.safetensors");
  const std::vector<Record> rows = rows_of("no_label.jsonl");
  Model model(32, true);
  const PackedBatch batch = pack(model.lm.config, rows, 0, 3, false);
  REQUIRE(batch.n_labels() == 0);
  model.step.inverse_labels = 0.0f;
  MlmTotals totals;
  model.run([&](Context& ctx) {
    Tape tape(ctx, true);
    masked_lm_loss(model.lm, ForwardPass{&tape, &batch, model.adapter.get(), true}, false, &totals);
  });
  CHECK(totals.loss == 0.0);
  CHECK(totals.n_labels == 0);
  for (const float g : model.adapter->gradients()) REQUIRE(g == 0.0f);

  Model base(32, false);
  const PackedBatch all = pack(base.lm.config, rows, 0, 3, true);
  CHECK(test::max_difference(logits_of(base, all),
                             test::golden_tensor(golden, "no_label.base.logits")) < 1e-4);
}

TEST_CASE("golden BERT: every LoRA gradient of the first update") {
  const std::vector<Record> rows = rows_of("train.jsonl");
  for (const auto& [bits, name] : {std::pair{32, "base"}, std::pair{4, "nf4"}}) {
    for (const bool checkpoint : {false, true}) {
      CAPTURE(name);
      CAPTURE(checkpoint);
      Model model(bits, true);
      const PackedBatch micro[2] = {pack(model.lm.config, rows, 0, 3, false),
                                    pack(model.lm.config, rows, 3, 3, false)};
      model.step.inverse_labels =
          1.0f / static_cast<float>(micro[0].n_labels() + micro[1].n_labels());
      MlmTotals totals;
      for (const PackedBatch& batch : micro) {
        model.run([&](Context& ctx) {
          Tape tape(ctx, true);
          masked_lm_loss(model.lm, ForwardPass{&tape, &batch, model.adapter.get(), true},
                         checkpoint, &totals);
        });
      }
      const SafetensorsFile golden(kFolder + "/" + name + ".gradients.safetensors");
      CHECK(golden.tensors().size() == 2 * model.adapter->pairs().size());
      for (const LoraPair& pair : model.adapter->pairs()) {
        CAPTURE(pair.module);
        const std::string prefix = "base_model.model." + pair.module;
        CHECK(test::relative_error({pair.d_a.f32(), static_cast<size_t>(pair.d_a.size())},
                                   test::golden_tensor(golden, prefix + ".lora_A.weight")) < 1e-4);
        CHECK(test::relative_error({pair.d_b.f32(), static_cast<size_t>(pair.d_b.size())},
                                   test::golden_tensor(golden, prefix + ".lora_B.weight")) < 1e-4);
      }
    }
  }
}

TEST_CASE("gradient checkpointing gives the same bits with less memory") {
  const std::vector<Record> rows = rows_of("train.jsonl");
  std::vector<float> gradients[2];
  size_t n_bytes[2];
  for (const bool checkpoint : {false, true}) {
    Model model(4, true);
    const PackedBatch batch = pack(model.lm.config, rows, 0, 12, false);
    model.step.inverse_labels = 1.0f / static_cast<float>(batch.n_labels());
    model.lm.config.hidden_dropout = 0.1f;
    model.lm.config.attention_dropout = 0.1f;
    MlmTotals totals;
    model.run([&](Context& ctx) {
      Tape tape(ctx, true);
      masked_lm_loss(model.lm, ForwardPass{&tape, &batch, model.adapter.get(), true}, checkpoint,
                     &totals);
    });
    gradients[checkpoint].assign(model.adapter->gradients().begin(),
                                 model.adapter->gradients().end());
    n_bytes[checkpoint] = model.arena.high_water();
  }
  CHECK(gradients[0] == gradients[1]);
  CHECK(n_bytes[1] < n_bytes[0]);
}

}  // namespace qe
