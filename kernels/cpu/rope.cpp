// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/rope.h"

#include "kernels/cpu/rope_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {

void rope(Context& ctx, const Rope& spec, const Tensor& x, bool back) {
  const RopeRows rows{.positions = spec.positions.data(),
                      .table = spec.table.f32(),
                      .table_stride = spec.table.stride,
                      .n_heads = spec.n_heads,
                      .half = spec.head_dim / 2,
                      .back = back,
                      .x = x.f32(),
                      .x_stride = x.stride};
  const auto kernel = QE_ISA_SELECT(rope_rows);
  for_row_ranges(ctx, x.rows, spec.n_heads * spec.head_dim,
                 [&](int64_t begin, int64_t end) { kernel(rows, begin, end); });
}

}  // namespace qe::cpu
