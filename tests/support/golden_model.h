// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A model of tests/golden with everything needed to run it, on the tests' device.

#include "engine/memory/planning.h"
#include "engine/model/adapter_loading.h"
#include "engine/model/batch_buffer.h"
#include "engine/model/weight_loader.h"
#include "engine/train/step_memory.h"
#include "formats/dataset/text_reader.h"
#include "kernels/ops/transfer.h"
#include "tests/support/device.h"
#include "tests/support/golden.h"

namespace qe::test {

inline std::vector<Record> rows_of(const std::string& file) {
  std::vector<Record> rows;
  read_records(file, {}, [&](Record&& row) { rows.push_back(std::move(row)); });
  return rows;
}

/// `folder`/model, with `folder`/adapter.
struct GoldenModel {
  ThreadPool threads{2};
  Arena arena;
  Context ctx = make_context();
  Memory memory{ctx};
  StepMemory step{1, ctx, memory};
  BatchBuffer batches{{.tokens = 512, .sequences = 16, .labels = 512}, 2, ctx, memory};
  MaskedLm lm;
  std::unique_ptr<LoraAdapter> adapter;

  GoldenModel(const std::string& folder, int64_t bits, bool with_adapter,
              const std::string& name = "model") {
    ctx.step = step.device_state();
    lm = load_masked_lm(folder + "/" + name, BaseOptions{.bits = bits}, ctx, memory);
    if (with_adapter) {
      adapter = load_adapter(folder + "/adapter", lm, "model", true, ctx, memory, Log());
    }
  }
  Context make_context() {
    Context made{.threads = &threads, .arena = &arena};
    attach_device(made);
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
  // Of gradients in fp16, as training scales them: what is as small as 1e-5 would lose digits.
  const float loss_scale = compute_type() == DType::kF16 ? 1024.0f : 1.0f;

  // Forward and backward of one batch whose labels count `inverse_labels` each.
  MlmTotals train(const PackedBatch& batch, float inverse_labels, bool checkpoint) {
    const BatchView view = batches.bind(ctx, batch);
    step.values().inverse_labels = inverse_labels;
    step.values().loss_scale = loss_scale;
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
  // Without the loss scale: the adapter's gradients, or one matrix of them.
  std::vector<float> gradients() { return unscaled(host(adapter->gradients())); }
  std::vector<float> gradient(const Tensor& matrix) { return unscaled(host(matrix)); }
  std::vector<float> unscaled(std::vector<float> values) const {
    for (float& value : values) value /= loss_scale;
    return values;
  }
};

/// Bases that goldens are made over, and what their files call them.
struct GoldenBase {
  int64_t bits;
  const char* name;
};
inline constexpr GoldenBase kGoldenBases[] = {{32, "base"}, {4, "nf4"}};

/// Matrices against a golden file's: each on its own in fp32. In 16 bits all together, since those
/// whose gradients are small beside others' are mostly rounding.
class ComparedMatrices {
 public:
  void add(const std::string& name, const std::vector<float>& found,
           const SafetensorsFile& golden) {
    const std::vector<float> expected = golden_tensor(golden, name);
    REQUIRE(found.size() == expected.size());
    if (compute_type() == DType::kF32) {
      CAPTURE(name);
      CHECK(relative_error(found, expected) < allowed());
    }
    found_.insert(found_.end(), found.begin(), found.end());
    expected_.insert(expected_.end(), expected.begin(), expected.end());
  }
  void check() const { CHECK(relative_error(found_, expected_) < allowed()); }

 private:
  static double allowed() { return tolerance(Result::kModelGradients, 1e-4); }
  std::vector<float> found_, expected_;
};

inline PackedBatch pack(const EncoderConfig& config, const std::vector<Record>& rows, size_t begin,
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

/// At the batch's labelled rows.
inline std::vector<float> logits_of(GoldenModel& model, const PackedBatch& batch) {
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

}  // namespace qe::test
