// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The global gradient norm and the clip factor, without a host round trip.

#include <span>

#include "kernels/core/context.h"
#include "kernels/ops/mlm_loss.h"

namespace qe {

/// Elements whose squares are summed into one fp64 partial sum.
inline constexpr int64_t kNormBlock = 4096;

/// Over all `gradients` (flat, fp32), divided by StepState::loss_scale: writes
/// StepState::gradient_norm (L2), clip_factor = min(1, max_norm / (norm + 1e-6)), or 1 when
/// max_norm <= 0, and finite = whether the norm is finite. Squares are summed in fp64 per block of
/// kNormBlock elements, blocks in ascending order, so the result does not depend on threads.
/// Scratch: 8 bytes per block.
void gradient_norm(Context& ctx, std::span<const float> gradients, float max_norm);

/// Clears StepState::finite where a loss is not finite, though the gradient may be: after
/// gradient_norm, before the optimizer's step. totals: (n) in the device's memory.
void require_finite_losses(Context& ctx, std::span<const MlmTotals> totals);

/// Dynamic loss scaling (fp16): after a step whose gradient was not finite the scale is halved (not
/// below 1), after `interval` finite ones in a row it is doubled (not above 2^24). Reads and writes
/// StepState; comes after the optimizer's step.
void update_loss_scale(Context& ctx, int32_t interval);

}  // namespace qe
