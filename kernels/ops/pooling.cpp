// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/pooling.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/pooling.h"
#include "kernels/cuda/pooling.h"
#include "kernels/ops/contract.h"

namespace qe {

void sequence_mean(Context& ctx, const SequenceMean& args) {
  constexpr const char* kOp = "sequence_mean";
  const auto n_sequences = static_cast<int64_t>(args.cu_seqlens.size()) - 1;
  QE_CHECK(n_sequences >= 0, kOp, ": cu_seqlens is empty");
  contract::check_computed(ctx, kOp, "x", args.x, args.x.rows, args.x.cols);
  contract::check_matrix(ctx, kOp, "y", args.y, n_sequences, args.x.cols);
  if (ctx.device.kind == DeviceKind::kCpu && !ctx.planning) {
    QE_CHECK(args.cu_seqlens.front() == 0 && args.cu_seqlens.back() == args.x.rows, kOp,
             ": expected sequences of ", args.x.rows, " rows in all, got ", args.cu_seqlens.back());
    for (int64_t b = 0; b < n_sequences; ++b) {
      QE_CHECK(args.cu_seqlens[b] < args.cu_seqlens[b + 1], kOp, ": sequence ", b, " is empty");
    }
  }
  QE_DISPATCH(ctx, sequence_mean, ctx, args);
}

}  // namespace qe
