// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/convert/logit_drift.h"

#include <algorithm>
#include <cmath>

#include "engine/memory/planning.h"
#include "engine/model/batch_buffer.h"
#include "kernels/ops/transfer.h"

namespace qe {

std::vector<float> all_logits(ConvertedTensors& model, const std::vector<std::vector<int32_t>>& ids,
                              const Context& device) {
  const EncoderConfig& config = model.config();
  Context ctx = device;
  Memory memory(ctx);
  // Weights in 4 bits are decoded: the same values.
  const MaskedLm lm = load_masked_lm(model, config, BaseOptions{.bits = 32}, ctx, memory);
  PackedBatch batch;
  for (const std::vector<int32_t>& text : ids) {
    batch.append(config, static_cast<uint32_t>(batch.n_sequences()), text, {}, text);
  }
  batch.token_capacity = batch.n_tokens();
  batch.label_capacity = batch.n_labels();
  BatchBuffer buffer({batch.n_tokens(), batch.n_sequences(), batch.n_labels()}, 1, ctx, memory);
  const BatchView view = buffer.bind(ctx, batch);
  const int64_t n = batch.n_labels() * config.vocab_size;
  const Tensor out = make_tensor(memory.allocate_array<float>("logits", n), batch.n_labels(),
                                 config.vocab_size, DType::kF32, ctx.device);
  run_alone(ctx, [&](Context& alone) {
    Tape tape(alone, false);
    masked_lm_logits(lm, ForwardPass{.tape = &tape, .batch = view}, out);
  });
  std::vector<float> logits(static_cast<size_t>(n));
  copy_bytes(ctx, logits.data(), out.data, logits.size() * sizeof(float));
  synchronize(ctx);
  return logits;
}

size_t all_logits_weight_bytes(ConvertedTensors& model, const Context& device) {
  Context ctx = device;
  ctx.planning = true;
  Memory memory(ctx);
  load_masked_lm(model, model.config(), BaseOptions{.bits = 32}, ctx, memory);
  return memory.total();
}

LogitDrift drift(const std::vector<float>& logits, const std::vector<float>& reference,
                 int64_t vocab_size) {
  LogitDrift result;
  const auto n_rows = static_cast<int64_t>(logits.size()) / vocab_size;
  for (int64_t row = 0; row < n_rows; ++row) {
    const float* a = logits.data() + row * vocab_size;
    const float* b = reference.data() + row * vocab_size;
    for (int64_t i = 0; i < vocab_size; ++i) {
      const double d = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
      result.max = std::max(result.max, d);
      result.mean += d;
    }
    const bool same =
        std::max_element(a, a + vocab_size) - a == std::max_element(b, b + vocab_size) - b;
    result.same_best += same ? 1.0 : 0.0;
  }
  result.mean /= static_cast<double>(std::max<size_t>(1, logits.size()));
  result.same_best /= static_cast<double>(std::max<int64_t>(1, n_rows));
  return result;
}

}  // namespace qe
