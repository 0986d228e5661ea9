// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Products with a frozen 4-bit weight. On the CPU the weight is decoded while it is packed into
// panels; on a GPU into scratch, or for few tokens in registers. The result is that of gemm on the
// dequantized weight, bit for bit on the CPU.

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

/// Scratch of the forward (else backward) product for M tokens. w: shape and type only.
size_t matmul4_workspace_bytes(const Context& ctx, int64_t m, const Quant4Matrix& w, bool forward);

}  // namespace qe
