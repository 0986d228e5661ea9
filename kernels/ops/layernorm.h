// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Layer normalization (Ba et al. 2016, arXiv:1607.06450) fused with what stands before it in a
// transformer block: dropout of the branch and the residual sum. One form serves both placements:
//   sum = residual + dropout(x);   y = (sum - mean(sum)) * rstd(sum) * gamma + beta
// post-norm blocks go on with y, pre-norm blocks carry sum on and feed y to the next branch.
// Statistics are fp32, two passes, over a fixed tree of 16 lanes. With `rms` the mean counts as 0:
// RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467).

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/dropout.h"

namespace qe {

struct LayerNormForward {
  Tensor x;         ///< (T, C); the branch
  Tensor residual;  ///< (T, C) nullable; must not alias the outputs
  Dropout dropout;  ///< of x
  Tensor gamma;     ///< (1, C)
  Tensor beta;      ///< (1, C) nullable: no bias
  float epsilon = 1e-12f;
  bool rms = false;
  Tensor sum;  ///< (T, C) out, saved for backward; may be x's memory
  Tensor y;    ///< (T, C) out; not x's or sum's memory
};
/// x, residual, sum, y are of the compute type, gamma and beta fp32.
void layernorm_forward(Context& ctx, const LayerNormForward& args);

struct LayerNormBackward {
  Tensor sum;    ///< (T, C) from forward
  Tensor gamma;  ///< (1, C)
  float epsilon = 1e-12f;
  bool rms = false;
  Dropout dropout;  ///< as in forward
  Tensor dy;        ///< (T, C)
  Tensor d_sum;     ///< (T, C) nullable: gradient that reaches sum from elsewhere (pre-norm), added
  Tensor d_residual;  ///< (T, C) out nullable: gradient of sum; may be d_sum's memory
  GradientMode d_residual_mode = GradientMode::kOverwrite;
  Tensor d_x;      ///< (T, C) out nullable: the same through the dropout; may be dy's memory
  Tensor d_gamma;  ///< (1, C) nullable, accumulated; null is the normal case (frozen)
  Tensor d_beta;   ///< (1, C) nullable, accumulated
};
/// Gradients of rows are of the compute type, those of gamma and beta fp32. mean and rstd are
/// recomputed from sum. d_gamma and d_beta sum over rows in a fixed order (CPU: ascending, from
/// what they are). Scratch, where one of the two is there: CPU: T * 8 bytes, GPU: min(T, 1024) * C
/// * 8.
void layernorm_backward(Context& ctx, const LayerNormBackward& args);

}  // namespace qe
