// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/gemm.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cuda/gemm.h"
#include "kernels/ops/contract.h"

namespace qe {

void gemm(Context& ctx, const Gemm& args) {
  constexpr const char* kOp = "gemm";
  const int64_t m = args.c.rows;
  const int64_t n = args.c.cols;
  const int64_t k = args.a_transposed ? args.a.rows : args.a.cols;
  // The one output that may be wider than its operands: gradients of trained parameters, logits.
  contract::check_matrix(ctx, kOp, "c", args.c, m, n,
                         args.c.dtype == DType::kF32 ? DType::kF32 : ctx.compute);
  contract::check_computed(ctx, kOp, "a", args.a, args.a_transposed ? k : m,
                           args.a_transposed ? m : k);
  contract::check_weight(ctx, kOp, "b", args.b, args.b_transposed ? n : k,
                         args.b_transposed ? k : n);
  QE_CHECK(ctx.device.kind == DeviceKind::kCpu || args.b.dtype == ctx.compute, kOp,
           ": expected b of ", dtype_name(ctx.compute), " on a GPU, got ",
           dtype_name(args.b.dtype));
  contract::check_disjoint(kOp, "a", args.a, "c", args.c);
  contract::check_disjoint(kOp, "b", args.b, "c", args.c);
  if (args.bias) {
    contract::check_matrix(ctx, kOp, "bias", args.bias, 1, n, args.c.dtype);
    contract::check_disjoint(kOp, "bias", args.bias, "c", args.c);
    QE_CHECK(args.mode == GradientMode::kOverwrite, kOp, ": a bias cannot be accumulated");
  }
  const Scratch scratch(*ctx.arena, gemm_workspace_bytes(ctx, m, n, k));
  QE_DISPATCH(ctx, gemm, ctx, args, scratch.f32());
}

size_t gemm_workspace_bytes(const Context& ctx, int64_t m, int64_t n, int64_t k) {
  return QE_ON_DEVICE(ctx.device.kind, gemm_workspace_bytes, ctx, m, n, k);
}

}  // namespace qe
