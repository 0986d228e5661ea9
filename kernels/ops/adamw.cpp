// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/adamw.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/adamw.h"
#include "kernels/cuda/adamw.h"

namespace qe {

void adamw_step(Context& ctx, const AdamwSpan& args) {
  const size_t n = args.parameters.size();
  QE_CHECK(args.gradients.size() == n && args.exp_avg.size() == n && args.exp_avg_sq.size() == n,
           "adamw_step: expected ", n, " gradients and moments, got ", args.gradients.size(), ", ",
           args.exp_avg.size(), " and ", args.exp_avg_sq.size());
  QE_CHECK(args.beta1 >= 0 && args.beta1 < 1 && args.beta2 >= 0 && args.beta2 < 1,
           "adamw_step: expected betas in [0, 1), got ", args.beta1, " and ", args.beta2);
  QE_CHECK(args.epsilon >= 0, "adamw_step: expected epsilon >= 0, got ", args.epsilon);
  QE_CHECK(args.weight_decay >= 0, "adamw_step: expected weight decay >= 0, got ",
           args.weight_decay);
  QE_CHECK(ctx.step != nullptr, "adamw_step reads Context::step, which is null");
  QE_DISPATCH(ctx, adamw_step, ctx, args);
}

}  // namespace qe
