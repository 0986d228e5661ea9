// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) on flat fp32 buffers, fused with unscaling
// and clipping. Learning rate, step, clip factor and the finite flag come from StepState.

#include <span>

#include "kernels/core/context.h"

namespace qe {

/// The two orders of operations people have, t = StepState::step + 1.
enum class AdamwRule {
  /// torch.optim.AdamW: p *= 1 - lr wd, then p -= lr (m / c1) / (sqrt(v / c2) + eps).
  kTorch,
  /// bitsandbytes 32-bit: p += -lr sqrt(c2) / c1 * m / (sqrt(v) + eps sqrt(c2)), then p *= 1 - lr
  /// wd.
  kBitsandbytes,
};

struct AdamwHyperparameters {
  AdamwRule rule = AdamwRule::kBitsandbytes;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  /// Multiplies StepState's learning rate, for the decay too: groups of parameters, LoRA+ (Hayou et
  /// al. 2024, arXiv:2402.12354).
  double learning_rate_scale = 1.0;
  bool operator==(const AdamwHyperparameters&) const = default;
};
/// Throws Error unless betas are in [0, 1), the others at least 0 and the rate's scale finite.
void check_hyperparameters(const char* op, const AdamwHyperparameters& hyperparameters);

struct AdamwSpan {
  std::span<float> parameters;
  std::span<const float> gradients;  ///< multiplied by clip_factor / loss_scale on reading
  std::span<float> exp_avg;          ///< m
  std::span<float> exp_avg_sq;       ///< v
  AdamwHyperparameters hyperparameters;
};

/// One update of the span; nothing happens when StepState::finite is 0. Whatever is the same for
/// all elements (c1 = 1 - beta1^t, c2 = 1 - beta2^t, 1 - beta, lr sqrt(c2) / c1 ...) is computed in
/// fp64 and rounded once; the elements are fp32.
void adamw_step(Context& ctx, const AdamwSpan& args);

}  // namespace qe
