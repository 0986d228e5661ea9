// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/ceilings.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/ceilings.h"
#include "kernels/cuda/ceilings.h"
#include "kernels/ops/contract.h"

namespace qe {

double measure_gflops(Context& ctx) {
  double gflops = 0.0;
  QE_DISPATCH(ctx, measure_gflops, ctx, &gflops);
  return gflops;
}

double measure_copy_gbytes(Context& ctx, const Tensor& from, const Tensor& to) {
  constexpr const char* kOp = "measure_copy_gbytes";
  contract::check_matrix(ctx, kOp, "from", from, from.rows, from.cols);
  contract::check_matrix(ctx, kOp, "to", to, from.rows, from.cols);
  QE_CHECK(from.stride == from.cols && to.stride == to.cols, kOp, ": expected dense matrices");
  double gbytes = 0.0;
  QE_DISPATCH(ctx, measure_copy_gbytes, ctx, from, to, &gbytes);
  return gbytes;
}

}  // namespace qe
