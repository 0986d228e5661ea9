// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/noise.h"

#include <cmath>

#include "kernels/core/dispatch.h"
#include "kernels/cpu/noise.h"
#include "kernels/cuda/noise.h"
#include "kernels/ops/contract.h"

namespace qe {

void embedding_noise(Context& ctx, const EmbeddingNoise& args) {
  constexpr const char* kOp = "embedding_noise";
  contract::check_computed(ctx, kOp, "x", args.x, args.x.rows, args.x.cols);
  contract::check_count(kOp, "sample_ids", args.sample_ids.size() + 1,
                        static_cast<int64_t>(args.cu_seqlens.size()));
  QE_CHECK(std::isfinite(args.alpha) && args.alpha >= 0.0f, kOp, ": expected alpha >= 0, got ",
           args.alpha);
  QE_CHECK(ctx.step != nullptr, kOp, " reads Context::step, which is null");
  if (ctx.device.kind == DeviceKind::kCpu && !ctx.planning) {
    QE_CHECK(args.cu_seqlens.front() == 0 && args.cu_seqlens.back() == args.x.rows, kOp,
             ": expected sequences of ", args.x.rows, " rows in all, got ", args.cu_seqlens.back());
  }
  QE_DISPATCH(ctx, embedding_noise, ctx, args);
}

}  // namespace qe
