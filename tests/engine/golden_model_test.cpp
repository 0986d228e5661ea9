// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The whole model against transformers and peft: logits, loss, every LoRA gradient, over
// tests/golden/bert (made by scripts/make_goldens.py).
#include <doctest/doctest.h>

#include <map>

#include "engine/memory/planning.h"
#include "engine/model/batch_buffer.h"
#include "engine/model/weight_loader.h"
#include "engine/train/step_memory.h"
#include "formats/dataset/text_reader.h"
#include "kernels/ops/transfer.h"
#include "tests/support/device.h"
#include "tests/support/golden.h"

namespace qe {
namespace {

const std::string kFolder = test::golden_path("bert");

std::vector<Record> rows_of(const std::string& name) {
  std::vector<Record> rows;
  read_records(kFolder + "/" + name, {}, [&](Record&& row) { rows.push_back(std::move(row)); });
  return rows;
}

// A loaded model with everything needed to run it, on the tests' device.
struct Model {
  ThreadPool threads{2};
  Arena arena;
  Context ctx = make_context();
  Memory memory{ctx};
  StepMemory step{1, ctx, memory};
  BatchBuffer batches{{.tokens = 512, .sequences = 16, .labels = 512}, 2, ctx, memory};
  MaskedLm lm;
  std::unique_ptr<LoraAdapter> adapter;

  Model(int64_t bits, bool with_adapter) {
    ctx.step = step.device_state();
    lm = load_masked_lm(kFolder + "/model", BaseOptions{.bits = bits}, ctx, memory);
    if (with_adapter) {
      const Adapter stored = read_adapter(kFolder + "/adapter");
      adapter = std::make_unique<LoraAdapter>(stored.config, lm.lora_sites(), lm.n_linears(), true,
                                              ctx, memory);
      adapter->assign(stored, kFolder + "/adapter");
    }
  }
  Context make_context() {
    Context made{.threads = &threads, .arena = &arena};
    test::attach_device(made);
    return made;
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
  // Forward and backward of one batch whose labels count `inverse_labels` each.
  MlmTotals train(const PackedBatch& batch, float inverse_labels, bool checkpoint) {
    const BatchView view = batches.bind(ctx, batch);
    step.values().inverse_labels = inverse_labels;
    step.upload_all(ctx);
    step.begin(ctx);
    run([&](Context& context) {
      Tape tape(context, true);
      masked_lm_loss(lm, ForwardPass{&tape, view, adapter.get(), true}, checkpoint, step.totals(0));
    });
    return step.fetch(ctx)[0];
  }
  std::vector<float> host(std::span<const float> values) {
    std::vector<float> copy(values.size());
    copy_bytes(ctx, copy.data(), values.data(), values.size_bytes());
    synchronize(ctx);
    return copy;
  }
  std::vector<float> host(const Tensor& matrix) {
    return host({matrix.f32(), static_cast<size_t>(matrix.size())});
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
  const int64_t vocab = model.lm.config.vocab_size;
  const BatchView view = model.batches.bind(model.ctx, batch);
  const Tensor logits =
      make_tensor(model.memory.allocate_array<float>("logits", batch.n_labels() * vocab),
                  batch.n_labels(), vocab, DType::kF32, model.ctx.device);
  model.run([&](Context& ctx) {
    Tape tape(ctx, false);
    masked_lm_logits(model.lm, ForwardPass{&tape, view, model.adapter.get(), false}, logits);
  });
  return model.host(logits);
}

}  // namespace

DEVICE_TEST_CASE("golden BERT: logits of base and adapter, fp32 and NF4") {
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
      if (!test::on_gpu()) CHECK(test::max_difference(logits, expected) < 1e-4);
      CHECK(test::relative_error(logits, expected) < test::tolerance(test::Result::kModel, 1e-5));
    }
  }
}

DEVICE_TEST_CASE("golden BERT: a batch without labels has loss 0 and zero gradients") {
  const SafetensorsFile golden(kFolder + "/forward.safetensors");
  const std::vector<Record> rows = rows_of("no_label.jsonl");
  Model model(32, true);
  const PackedBatch batch = pack(model.lm.config, rows, 0, 3, false);
  REQUIRE(batch.n_labels() == 0);
  const MlmTotals totals = model.train(batch, 0.0f, false);
  CHECK(totals.loss == 0.0);
  CHECK(totals.n_labels == 0);
  for (const float g : model.host(model.adapter->gradients())) REQUIRE(g == 0.0f);

  Model base(32, false);
  const PackedBatch all = pack(base.lm.config, rows, 0, 3, true);
  CHECK(test::relative_error(logits_of(base, all),
                             test::golden_tensor(golden, "no_label.base.logits")) <
        test::tolerance(test::Result::kModel, 1e-5));
}

DEVICE_TEST_CASE("golden BERT: every LoRA gradient of the first update") {
  const std::vector<Record> rows = rows_of("train.jsonl");
  for (const auto& [bits, name] : {std::pair{32, "base"}, std::pair{4, "nf4"}}) {
    for (const bool checkpoint : {false, true}) {
      CAPTURE(name);
      CAPTURE(checkpoint);
      Model model(bits, true);
      const PackedBatch micro[2] = {pack(model.lm.config, rows, 0, 3, false),
                                    pack(model.lm.config, rows, 3, 3, false)};
      const float inverse_labels =
          1.0f / static_cast<float>(micro[0].n_labels() + micro[1].n_labels());
      for (const PackedBatch& batch : micro) model.train(batch, inverse_labels, checkpoint);
      const SafetensorsFile golden(kFolder + "/" + name + ".gradients.safetensors");
      CHECK(golden.tensors().size() == 2 * model.adapter->pairs().size());
      for (const LoraPair& pair : model.adapter->pairs()) {
        CAPTURE(pair.module);
        const std::string prefix = "base_model.model." + pair.module;
        const double allowed = test::tolerance(test::Result::kModelGradients, 1e-4);
        CHECK(test::relative_error(model.host(pair.d_a),
                                   test::golden_tensor(golden, prefix + ".lora_A.weight")) <
              allowed);
        CHECK(test::relative_error(model.host(pair.d_b),
                                   test::golden_tensor(golden, prefix + ".lora_B.weight")) <
              allowed);
      }
    }
  }
}

DEVICE_TEST_CASE("gradient checkpointing gives the same bits with less memory") {
  const std::vector<Record> rows = rows_of("train.jsonl");
  std::vector<float> gradients[2];
  size_t n_bytes[2];
  for (const bool checkpoint : {false, true}) {
    Model model(4, true);
    const PackedBatch batch = pack(model.lm.config, rows, 0, 12, false);
    model.lm.config.hidden_dropout = 0.1f;
    model.lm.config.attention_dropout = 0.1f;
    model.train(batch, 1.0f / static_cast<float>(batch.n_labels()), checkpoint);
    gradients[checkpoint] = model.host(model.adapter->gradients());
    n_bytes[checkpoint] = model.arena.high_water();
  }
  CHECK(gradients[0] == gradients[1]);
  CHECK(n_bytes[1] < n_bytes[0]);
}

}  // namespace qe
