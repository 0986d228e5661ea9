// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/lora.h"

#include <algorithm>

#include "kernels/cpu/gemm.h"

namespace qe::cpu {

void add_matrix(Context& ctx, const Tensor& x, const Tensor& y) {
  constexpr int64_t kElementsPerTask = 1 << 14;
  const int64_t rows = std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, x.cols));
  const float* from = x.f32();
  float* to = y.f32();
  ctx.threads->run((x.rows + rows - 1) / rows, [&](int64_t task, int) {
    const int64_t end = std::min((task + 1) * rows, x.rows);
    for (int64_t i = task * rows; i < end; ++i) {
      for (int64_t j = 0; j < x.cols; ++j) to[i * y.stride + j] += from[i * x.stride + j];
    }
  });
}

size_t add_outer_products_workspace_bytes(const Context& ctx, int64_t n_tokens, int64_t n_left,
                                          int64_t n_right) {
  return cpu::gemm_workspace_bytes(ctx, n_left, n_right, n_tokens);
}

void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right, const Tensor& d,
                        float* scratch) {
  cpu::gemm(ctx,
            Gemm{.a = left,
                 .b = right,
                 .a_transposed = true,
                 .b_transposed = false,
                 .c = d,
                 .mode = GradientMode::kAccumulate},
            scratch);
}

}  // namespace qe::cpu
