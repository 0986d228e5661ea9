// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/reduce.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/step_update.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

// Sixteen running sums, added by a fixed tree: the order does not depend on the compiler's choice
// of vector width.
double sum_of_squares(std::span<const float> values) {
  constexpr size_t kSums = 16;
  double sums[kSums] = {};
  size_t i = 0;
  for (; i + kSums <= values.size(); i += kSums) {
    for (size_t lane = 0; lane < kSums; ++lane) {
      const double value = values[i + lane];
      sums[lane] += value * value;
    }
  }
  for (size_t lane = 0; i < values.size(); ++i, ++lane) {
    const double value = values[i];
    sums[lane] += value * value;
  }
  for (size_t half = kSums / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

}  // namespace

void gradient_norm(Context& ctx, std::span<const float> gradients, float max_norm, double* sums) {
  const int64_t n = static_cast<int64_t>(gradients.size());
  const int64_t n_blocks = (n + kNormBlock - 1) / kNormBlock;
  run_tasks(ctx, n_blocks, [&](int64_t block, int) {
    const int64_t begin = block * kNormBlock;
    const int64_t count = std::min(kNormBlock, n - begin);
    sums[block] =
        sum_of_squares(gradients.subspan(static_cast<size_t>(begin), static_cast<size_t>(count)));
  });
  double total = 0.0;
  for (int64_t block = 0; block < n_blocks; ++block) total += sums[block];
  set_gradient_norm(*ctx.step, total, max_norm);
}

void require_finite_losses(Context& ctx, std::span<const MlmTotals> totals) {
  for (const MlmTotals& of_batch : totals) {
    if (!std::isfinite(of_batch.loss)) ctx.step->finite = 0;
  }
}

void update_loss_scale(Context& ctx, int32_t interval) { set_loss_scale(*ctx.step, interval); }

}  // namespace qe::cpu
