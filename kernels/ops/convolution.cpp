// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/convolution.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/convolution.h"
#include "kernels/cuda/convolution.h"
#include "kernels/ops/contract.h"

namespace qe {
namespace {

void check(const Context& ctx, const char* op, std::span<const uint32_t> row_indices,
           const Tensor& rows, const Tensor& windows) {
  contract::check_computed(ctx, op, "rows", rows, rows.rows, rows.cols);
  contract::check_computed(ctx, op, "windows", windows, rows.rows, windows.cols);
  contract::check_count(op, "row_indices", row_indices.size(), rows.rows);
  QE_CHECK(rows.cols > 0 && windows.cols % rows.cols == 0 && windows.cols / rows.cols % 2 == 1, op,
           ": expected windows of an odd multiple of ", rows.cols, " columns, got ", windows.cols);
  contract::check_disjoint(op, "rows", rows, "windows", windows);
}

}  // namespace

void gather_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& x,
                    const Tensor& y) {
  check(ctx, "gather_windows", row_indices, x, y);
  QE_DISPATCH(ctx, gather_windows, ctx, row_indices, x, y);
}

void scatter_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& dy,
                     const Tensor& dx, GradientMode mode) {
  check(ctx, "scatter_windows", row_indices, dx, dy);
  QE_DISPATCH(ctx, scatter_windows, ctx, row_indices, dy, dx, mode);
}

}  // namespace qe
