// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/update.h"

#include <algorithm>

#include "kernels/ops/reduce.h"

namespace qe {

UpdateResult run_update(const UpdateParts& parts, std::span<const PackedBatch> batches) {
  Context& ctx = parts.tape.context();
  int64_t n_labels = 0;
  int64_t n_labelled = 0;  // micro-batches with labels
  for (const PackedBatch& batch : batches) {
    n_labels += batch.n_labels();
    n_labelled += batch.n_labels() > 0;
  }
  const std::span<float> gradients = parts.adapter.gradients();
  std::fill(gradients.begin(), gradients.end(), 0.0f);
  UpdateResult result;
  for (const PackedBatch& batch : batches) {
    const int64_t divisor = parts.mean_of_means ? batch.n_labels() * n_labelled : n_labels;
    ctx.step->inverse_labels = divisor > 0 ? 1.0f / static_cast<float>(divisor) : 0.0f;
    const double before = result.totals.loss;
    const ForwardPass pass{.tape = &parts.tape,
                           .batch = &batch,
                           .adapter = &parts.adapter,
                           .training = true,
                           .label_smoothing = parts.label_smoothing,
                           .noise_alpha = parts.noise_alpha};
    masked_lm_loss(parts.model, pass, parts.checkpoint, &result.totals);
    if (divisor > 0 && parts.mean_of_means) {
      result.loss += (result.totals.loss - before) / static_cast<double>(divisor);
    }
  }
  if (!parts.mean_of_means) {
    result.loss = result.totals.loss / static_cast<double>(std::max<int64_t>(1, n_labels));
  }
  gradient_norm(ctx, gradients, parts.max_grad_norm);
  parts.optimizer.step(ctx);
  return result;
}

}  // namespace qe
