// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/reduce.h"

namespace qe::cpu {

/// sums: one double per block of kNormBlock gradients, scratch.
void gradient_norm(Context& ctx, std::span<const float> gradients, float max_norm, double* sums);

void require_finite_losses(Context& ctx, std::span<const MlmTotals> totals);

void update_loss_scale(Context& ctx, int32_t interval);

}  // namespace qe::cpu
