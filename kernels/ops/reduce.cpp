// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/reduce.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cuda/reduce.h"

namespace qe {

void gradient_norm(Context& ctx, std::span<const float> gradients, float max_norm) {
  QE_CHECK(ctx.step != nullptr, "gradient_norm writes Context::step, which is null");
  const size_t n_blocks = (gradients.size() + kNormBlock - 1) / kNormBlock;
  const Scratch sums(*ctx.arena, n_blocks * sizeof(double));
  QE_DISPATCH(ctx, gradient_norm, ctx, gradients, max_norm, static_cast<double*>(sums.data()));
}

void require_finite_losses(Context& ctx, std::span<const MlmTotals> totals) {
  QE_CHECK(ctx.step != nullptr, "require_finite_losses writes Context::step, which is null");
  if (totals.empty()) return;
  QE_DISPATCH(ctx, require_finite_losses, ctx, totals);
}

void update_loss_scale(Context& ctx, int32_t interval) {
  QE_CHECK(ctx.step != nullptr, "update_loss_scale writes Context::step, which is null");
  QE_CHECK(interval > 0, "update_loss_scale: expected an interval above 0, got ", interval);
  QE_DISPATCH(ctx, update_loss_scale, ctx, interval);
}

}  // namespace qe
