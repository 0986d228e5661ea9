// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/column_sums.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/column_sums.h"
#include "kernels/cuda/column_sums.h"
#include "kernels/ops/contract.h"

namespace qe {

void column_sums(Context& ctx, const Tensor& x, const Tensor& out) {
  constexpr const char* kOp = "column_sums";
  contract::check_computed(ctx, kOp, "x", x, x.rows, x.cols);
  contract::check_matrix(ctx, kOp, "out", out, 1, x.cols);
  contract::check_disjoint(kOp, "x", x, "out", out);
  const Scratch scratch(*ctx.arena, column_sums_workspace_bytes(ctx, x.rows, x.cols));
  QE_DISPATCH(ctx, column_sums, ctx, x, out, scratch.f32());
}

size_t column_sums_workspace_bytes(const Context& ctx, int64_t rows, int64_t cols) {
  return QE_ON_DEVICE(ctx.device.kind, column_sums_workspace_bytes, rows, cols);
}

}  // namespace qe
