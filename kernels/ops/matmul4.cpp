// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/matmul4.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/matmul4.h"
#include "kernels/cuda/matmul4.h"
#include "kernels/ops/contract.h"

namespace qe {
namespace {

void check_expanded(const Context& ctx, const char* op, const Quant4Matrix& w) {
  if (w.expanded) contract::check_computed(ctx, op, "the expanded weight", w.expanded, w.n, w.k);
}

}  // namespace

void matmul4_forward(Context& ctx, const Tensor& x, const Quant4Matrix& w, const Tensor& bias,
                     const Tensor& y) {
  constexpr const char* kOp = "matmul4_forward";
  check_quant4(ctx, kOp, w);
  check_expanded(ctx, kOp, w);
  contract::check_computed(ctx, kOp, "x", x, x.rows, w.k);
  contract::check_computed(ctx, kOp, "y", y, x.rows, w.n);
  contract::check_disjoint(kOp, "x", x, "y", y);
  if (bias) {
    contract::check_computed(ctx, kOp, "bias", bias, 1, w.n);
    contract::check_disjoint(kOp, "bias", bias, "y", y);
  }
  const Scratch scratch(*ctx.arena, matmul4_workspace_bytes(ctx, x.rows, w, true));
  QE_DISPATCH(ctx, matmul4_forward, ctx, x, w, bias, y, scratch.f32());
}

void matmul4_backward(Context& ctx, const Tensor& dy, const Quant4Matrix& w, const Tensor& dx,
                      GradientMode mode) {
  constexpr const char* kOp = "matmul4_backward";
  check_quant4(ctx, kOp, w);
  check_expanded(ctx, kOp, w);
  contract::check_computed(ctx, kOp, "dy", dy, dy.rows, w.n);
  contract::check_computed(ctx, kOp, "dx", dx, dy.rows, w.k);
  contract::check_disjoint(kOp, "dy", dy, "dx", dx);
  const Scratch scratch(*ctx.arena, matmul4_workspace_bytes(ctx, dy.rows, w, false));
  QE_DISPATCH(ctx, matmul4_backward, ctx, dy, w, dx, mode, scratch.f32());
}

size_t matmul4_workspace_bytes(const Context& ctx, int64_t m, const Quant4Matrix& w, bool forward) {
  return QE_ON_DEVICE(ctx.device.kind, matmul4_workspace_bytes, ctx, m, w, forward);
}

}  // namespace qe
