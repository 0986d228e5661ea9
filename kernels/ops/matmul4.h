// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Products with a frozen 4-bit weight. The weight is decoded while it is packed into panels, so the
// result is that of gemm on the dequantized weight, bit for bit on the CPU.

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/quant4.h"

namespace qe {

/// y = x W^T (+ bias). x: (T, K), y: (T, N), bias: (1, N) nullable; all of the
/// compute type. Rows may be strided.
void matmul4_forward(Context& ctx, const Tensor& x, const Quant4Matrix& w, const Tensor& bias,
                     const Tensor& y);

/// dx = [dx +] dy W. dy: (T, N), dx: (T, K). There is no gradient of W.
void matmul4_backward(Context& ctx, const Tensor& dy, const Quant4Matrix& w, const Tensor& dx,
                      GradientMode mode);

}  // namespace qe
