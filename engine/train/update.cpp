// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/update.h"

#include <algorithm>

#include "kernels/ops/reduce.h"
#include "kernels/ops/transfer.h"

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
  zero_bytes(ctx, gradients.data(), gradients.size_bytes());
  parts.step.begin(ctx);
  const auto divisor_of = [&](const PackedBatch& batch) {
    return parts.mean_of_means ? batch.n_labels() * n_labelled : n_labels;
  };
  for (size_t i = 0; i < batches.size(); ++i) {
    const int64_t divisor = divisor_of(batches[i]);
    parts.step.values().inverse_labels = divisor > 0 ? 1.0f / static_cast<float>(divisor) : 0.0f;
    parts.step.upload(ctx);
    const ForwardPass pass{.tape = &parts.tape,
                           .batch = parts.batches.bind(ctx, batches[i]),
                           .adapter = &parts.adapter,
                           .training = true,
                           .label_smoothing = parts.label_smoothing,
                           .noise_alpha = parts.noise_alpha};
    masked_lm_loss(parts.model, pass, parts.checkpoint, parts.step.totals(static_cast<int64_t>(i)));
  }
  gradient_norm(ctx, gradients, parts.max_grad_norm);
  require_finite_losses(ctx, {parts.step.totals(0), batches.size()});
  if (parts.snapshot != nullptr) parts.snapshot->hold(ctx);
  parts.optimizer.step(ctx);
  parts.adapter.refresh(ctx);
  if (ctx.compute == DType::kF16) update_loss_scale(ctx, kLossScaleInterval);

  UpdateResult result;
  const std::vector<MlmTotals>& totals = parts.step.fetch(ctx);
  for (size_t i = 0; i < batches.size(); ++i) {
    result.totals.loss += totals[i].loss;
    result.totals.n_labels += totals[i].n_labels;
    result.totals.n_correct += totals[i].n_correct;
    const int64_t divisor = divisor_of(batches[i]);
    if (divisor > 0 && parts.mean_of_means) {
      result.loss += totals[i].loss / static_cast<double>(divisor);
    }
  }
  if (!parts.mean_of_means) {
    result.loss = result.totals.loss / static_cast<double>(std::max<int64_t>(1, n_labels));
  }
  return result;
}

}  // namespace qe
