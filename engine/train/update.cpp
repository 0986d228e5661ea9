// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/update.h"

#include <algorithm>

#include "kernels/ops/reduce.h"

namespace qe {

MlmTotals run_update(const UpdateParts& parts, std::span<const PackedBatch> batches) {
  Context& ctx = parts.tape.context();
  int64_t n_labels = 0;
  for (const PackedBatch& batch : batches) n_labels += batch.n_labels();
  ctx.step->inverse_labels = n_labels > 0 ? 1.0f / static_cast<float>(n_labels) : 0.0f;
  const std::span<float> gradients = parts.adapter.gradients();
  std::fill(gradients.begin(), gradients.end(), 0.0f);
  MlmTotals totals;
  for (const PackedBatch& batch : batches) {
    const ForwardPass pass{&parts.tape, &batch, &parts.adapter, true};
    masked_lm_loss(parts.model, pass, parts.checkpoint, &totals);
  }
  gradient_norm(ctx, gradients, parts.max_grad_norm);
  parts.optimizer.step(ctx);
  return totals;
}

}  // namespace qe
