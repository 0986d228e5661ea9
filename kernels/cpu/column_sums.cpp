// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/column_sums.h"

#include "kernels/cpu/column_sums_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {

void column_sums(Context& ctx, const Tensor& x, const Tensor& out, float*) {
  const ColumnSums sums{.x = x.f32(), .stride = x.stride, .rows = x.rows, .out = out.f32()};
  const auto kernel = QE_ISA_SELECT(column_sums);
  for_column_ranges(ctx, x.cols, [&](int64_t begin, int64_t end) { kernel(sums, begin, end); });
}

size_t column_sums_workspace_bytes(int64_t, int64_t) { return 0; }

}  // namespace qe::cpu
