// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/rope.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/rope.h"
#include "kernels/cuda/rope.h"
#include "kernels/ops/contract.h"

namespace qe {

void rope(Context& ctx, const Rope& spec, const Tensor& x, bool back) {
  QE_CHECK(spec.n_heads > 0 && spec.head_dim > 0 && spec.head_dim % 2 == 0, "rope: expected heads ",
           "above 0 and an even head_dim, got ", spec.n_heads, " and ", spec.head_dim);
  QE_CHECK(x.cols >= spec.n_heads * spec.head_dim, "rope: ", spec.n_heads, " heads of ",
           spec.head_dim, " columns do not fit into ", x.cols);
  contract::check_computed(ctx, "rope", "x", x, x.rows, x.cols);
  contract::check_matrix(ctx, "rope", "table", spec.table, spec.table.rows, spec.head_dim);
  contract::check_count("rope", "positions", spec.positions.size(), x.rows);
  if (ctx.device.kind == DeviceKind::kCpu && !ctx.planning) {
    for (size_t t = 0; t < spec.positions.size(); ++t) {
      QE_CHECK(spec.positions[t] < spec.table.rows, "rope: positions[", t, "] is ",
               spec.positions[t], ", expected 0 .. ", spec.table.rows - 1);
    }
  }
  QE_DISPATCH(ctx, rope, ctx, spec, x, back);
}

}  // namespace qe
