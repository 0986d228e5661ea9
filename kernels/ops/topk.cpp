// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/topk.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/topk.h"
#include "kernels/cuda/topk.h"
#include "kernels/ops/contract.h"

namespace qe {

void topk(Context& ctx, const TopK& args) {
  const int64_t vocab = args.logits.cols;
  contract::check_matrix(ctx, "topk", "logits", args.logits, args.logits.rows, vocab);
  const int64_t n_choices =
      args.candidates.empty() ? vocab : static_cast<int64_t>(args.candidates.size());
  QE_CHECK(args.k >= 1 && args.k <= n_choices, "topk: expected k in 1 .. ", n_choices, ", got ",
           args.k);
  contract::check_count("topk", "ids", args.ids.size(), args.logits.rows * args.k);
  contract::check_count("topk", "probabilities", args.probabilities.size(),
                        args.logits.rows * args.k);
  if (ctx.device.kind == DeviceKind::kCpu && !ctx.planning) {
    for (size_t i = 0; i < args.candidates.size(); ++i) {
      QE_CHECK(args.candidates[i] >= 0 && args.candidates[i] < vocab, "topk: candidates[", i,
               "] is ", args.candidates[i], ", expected 0 .. ", vocab - 1);
    }
  }
  QE_DISPATCH(ctx, topk, ctx, args);
}

}  // namespace qe
