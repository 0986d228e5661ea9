// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/lora.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/gemm.h"

namespace qe::cpu {

bool lora_joins(int64_t, bool) { return false; }

void copy_blocks(Context&, std::span<const CopiedBlock> blocks) {
  for (const CopiedBlock& block : blocks) {
    const size_t n_bytes = static_cast<size_t>(block.to.cols) * dtype_size(block.to.dtype);
    for (int64_t i = 0; i < block.to.rows && n_bytes > 0; ++i) {
      void* const to = block.to.row_range(i, 1).data;
      if (block.from) {
        std::memcpy(to, block.from.row_range(i, 1).data, n_bytes);
      } else {
        std::memset(to, 0, n_bytes);
      }
    }
  }
}

size_t add_outer_products_workspace_bytes(const Context& ctx, int64_t n_tokens,
                                          std::span<const Tensor> d) {
  size_t most = 0;
  for (const Tensor& sum : d) {
    most = std::max(most, cpu::gemm_workspace_bytes(ctx, sum.rows, sum.cols, n_tokens));
  }
  return most;
}

bool sums_prepare(const Context&, const Tensor&, const Tensor&) { return false; }

void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right, const Preparation&,
                        std::span<const Tensor> d, float* scratch) {
  int64_t column = 0;
  for (const Tensor& sum : d) {
    cpu::gemm(ctx,
              Gemm{.a = left.col_range(column, sum.rows),
                   .b = right,
                   .a_transposed = true,
                   .b_transposed = false,
                   .c = sum,
                   .mode = GradientMode::kAccumulate},
              scratch);
    column += sum.rows;
  }
}

}  // namespace qe::cpu
