// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The CPU backend of matmul4: gemm with a 4-bit source of panels.

#include "kernels/ops/matmul4.h"

namespace qe::cpu {

size_t matmul4_workspace_bytes(const Context& ctx, int64_t m, const Quant4Matrix& w, bool forward);

void matmul4_forward(Context& ctx, const Tensor& x, const Quant4Matrix& w, const Tensor& bias,
                     const Tensor& y, float* scratch);

void matmul4_backward(Context& ctx, const Tensor& dy, const Quant4Matrix& w, const Tensor& dx,
                      GradientMode mode, float* scratch);

}  // namespace qe::cpu
