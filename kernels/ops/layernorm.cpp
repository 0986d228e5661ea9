// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/layernorm.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/layernorm.h"
#include "kernels/cuda/layernorm.h"
#include "kernels/ops/contract.h"

namespace qe {
namespace {

void check_size(const char* op, const Tensor& t) {
  QE_CHECK(t.cols > 0 || t.rows == 0, op, ": cannot normalize rows of 0 columns");
}

}  // namespace

void layernorm_forward(Context& ctx, const LayerNormForward& args) {
  constexpr const char* kOp = "layernorm_forward";
  const int64_t rows = args.x.rows;
  const int64_t cols = args.x.cols;
  check_size(kOp, args.x);
  contract::check_computed(ctx, kOp, "x", args.x, rows, cols);
  if (args.residual) {
    contract::check_computed(ctx, kOp, "residual", args.residual, rows, cols);
    contract::check_disjoint(kOp, "residual", args.residual, "sum", args.sum);
    contract::check_disjoint(kOp, "residual", args.residual, "y", args.y);
  }
  contract::check_matrix(ctx, kOp, "gamma", args.gamma, 1, cols);
  if (args.beta) contract::check_matrix(ctx, kOp, "beta", args.beta, 1, cols);
  contract::check_computed(ctx, kOp, "sum", args.sum, rows, cols);
  contract::check_computed(ctx, kOp, "y", args.y, rows, cols);
  contract::check_in_place(kOp, "x", args.x, "sum", args.sum);
  contract::check_disjoint(kOp, "x", args.x, "y", args.y);
  contract::check_disjoint(kOp, "sum", args.sum, "y", args.y);
  contract::check_dropout(ctx, kOp, args.dropout, rows, cols);
  QE_CHECK(args.epsilon >= 0.0f, kOp, ": expected epsilon >= 0, got ", args.epsilon);
  QE_DISPATCH(ctx, layernorm_forward, ctx, args);
}

void layernorm_backward(Context& ctx, const LayerNormBackward& args) {
  constexpr const char* kOp = "layernorm_backward";
  const int64_t rows = args.sum.rows;
  const int64_t cols = args.sum.cols;
  check_size(kOp, args.sum);
  contract::check_computed(ctx, kOp, "sum", args.sum, rows, cols);
  contract::check_matrix(ctx, kOp, "gamma", args.gamma, 1, cols);
  contract::check_computed(ctx, kOp, "dy", args.dy, rows, cols);
  contract::check_dropout(ctx, kOp, args.dropout, rows, cols);
  QE_CHECK(args.epsilon >= 0.0f, kOp, ": expected epsilon >= 0, got ", args.epsilon);
  if (args.d_sum) contract::check_computed(ctx, kOp, "d_sum", args.d_sum, rows, cols);
  if (args.d_gamma) contract::check_matrix(ctx, kOp, "d_gamma", args.d_gamma, 1, cols);
  if (args.d_beta) contract::check_matrix(ctx, kOp, "d_beta", args.d_beta, 1, cols);
  const auto check_output = [&](const char* name, const Tensor& out) {
    if (!out) return;
    contract::check_computed(ctx, kOp, name, out, rows, cols);
    contract::check_disjoint(kOp, name, out, "sum", args.sum);
    contract::check_in_place(kOp, name, out, "dy", args.dy);
    contract::check_in_place(kOp, name, out, "d_sum", args.d_sum);
  };
  check_output("d_residual", args.d_residual);
  check_output("d_x", args.d_x);
  contract::check_disjoint(kOp, "d_residual", args.d_residual, "d_x", args.d_x);
  const bool sums = args.d_gamma || args.d_beta;
  const Scratch scratch(
      *ctx.arena,
      sums ? QE_ON_DEVICE(ctx.device.kind, layernorm_sums_workspace_bytes, rows, cols) : 0);
  QE_DISPATCH(ctx, layernorm_backward, ctx, args, scratch.f32());
}

}  // namespace qe
