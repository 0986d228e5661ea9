// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/adamw.h"

#include <cmath>

#include "kernels/core/dispatch.h"
#include "kernels/cpu/adamw.h"
#include "kernels/cuda/adamw.h"

namespace qe {

void check_hyperparameters(const char* op, const AdamwHyperparameters& h) {
  QE_CHECK(h.beta1 >= 0 && h.beta1 < 1 && h.beta2 >= 0 && h.beta2 < 1, op,
           ": expected betas in [0, 1), got ", h.beta1, " and ", h.beta2);
  QE_CHECK(h.epsilon >= 0, op, ": expected epsilon >= 0, got ", h.epsilon);
  QE_CHECK(h.weight_decay >= 0, op, ": expected weight decay >= 0, got ", h.weight_decay);
  QE_CHECK(h.learning_rate_scale >= 0 && std::isfinite(h.learning_rate_scale), op,
           ": expected a finite learning rate scale >= 0, got ", h.learning_rate_scale);
}

void adamw_step(Context& ctx, const AdamwSpan& args) {
  const size_t n = args.parameters.size();
  QE_CHECK(args.gradients.size() == n && args.exp_avg.size() == n && args.exp_avg_sq.size() == n,
           "adamw_step: expected ", n, " gradients and moments, got ", args.gradients.size(), ", ",
           args.exp_avg.size(), " and ", args.exp_avg_sq.size());
  check_hyperparameters("adamw_step", args.hyperparameters);
  QE_CHECK(ctx.step != nullptr, "adamw_step reads Context::step, which is null");
  QE_DISPATCH(ctx, adamw_step, ctx, args);
}

}  // namespace qe
