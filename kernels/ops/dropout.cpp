// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/dropout.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/dropout.h"
#include "kernels/cuda/dropout.h"
#include "kernels/ops/contract.h"

namespace qe {

void dropout(Context& ctx, const Dropout& spec, const Tensor& x, const Tensor& y,
             const Tensor& residual) {
  contract::check_computed(ctx, "dropout", "x", x, x.rows, x.cols);
  contract::check_computed(ctx, "dropout", "y", y, x.rows, x.cols);
  contract::check_in_place("dropout", "x", x, "y", y);
  if (residual) {
    contract::check_computed(ctx, "dropout", "residual", residual, x.rows, x.cols);
    contract::check_in_place("dropout", "residual", residual, "y", y);
  }
  contract::check_dropout(ctx, "dropout", spec, x.rows, x.cols);
  QE_DISPATCH(ctx, dropout, ctx, spec, x, y, residual);
}

}  // namespace qe
