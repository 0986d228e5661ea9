// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/matmul4.h"

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/quant4.h"

namespace qe::cpu {

size_t matmul4_workspace_bytes(const Context& ctx, int64_t m, const Quant4Matrix& w, bool forward) {
  return cpu::gemm_workspace_bytes(ctx, m, forward ? w.n : w.k, forward ? w.k : w.n);
}

void matmul4_forward(Context& ctx, const Tensor& x, const Quant4Matrix& w, const Tensor& bias,
                     const Tensor& y, float* scratch) {
  run_gemm(ctx,
           {.m = x.rows,
            .n = w.n,
            .k = w.k,
            .a = x.f32(),
            .a_stride = x.stride,
            .b_transposed = true,
            .b4 = quant4_view(w),
            .bias = bias ? bias.f32() : nullptr,
            .c = y.f32(),
            .c_stride = y.stride},
           scratch);
}

void matmul4_backward(Context& ctx, const Tensor& dy, const Quant4Matrix& w, const Tensor& dx,
                      GradientMode mode, float* scratch) {
  run_gemm(ctx,
           {.m = dy.rows,
            .n = w.k,
            .k = w.n,
            .a = dy.f32(),
            .a_stride = dy.stride,
            .b_transposed = false,
            .b4 = quant4_view(w),
            .c = dx.f32(),
            .c_stride = dx.stride,
            .accumulate = mode == GradientMode::kAccumulate},
           scratch);
}

}  // namespace qe::cpu
