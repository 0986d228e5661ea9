// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/reduce.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/reduce.h"

namespace qe {

void gradient_norm(Context& ctx, std::span<const float> gradients, float max_norm) {
  QE_CHECK(ctx.step != nullptr, "gradient_norm writes Context::step, which is null");
  const size_t n_blocks = (gradients.size() + kNormBlock - 1) / kNormBlock;
  const Scratch sums(*ctx.arena, n_blocks * sizeof(double));
  QE_DISPATCH(ctx, gradient_norm, ctx, gradients, max_norm, static_cast<double*>(sums.data()));
}

}  // namespace qe
