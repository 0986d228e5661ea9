// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/model/frozen_weight.h"

namespace qe {

void FrozenWeight::forward(Context& ctx, const Tensor& x, const Tensor& bias,
                           const Tensor& y) const {
  if (is_quantized_) return matmul4_forward(ctx, x, quantized_, bias, y);
  gemm(ctx, Gemm{.a = x, .b = dense_, .b_transposed = true, .bias = bias, .c = y});
}

void FrozenWeight::backward(Context& ctx, const Tensor& dy, const Tensor& dx,
                            GradientMode mode) const {
  if (is_quantized_) return matmul4_backward(ctx, dy, quantized_, dx, mode);
  gemm(ctx, Gemm{.a = dy, .b = dense_, .b_transposed = false, .c = dx, .mode = mode});
}

}  // namespace qe
