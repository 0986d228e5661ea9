// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/adamw.h"

#include <cmath>

#include "kernels/cpu/adamw_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

// base^exponent by squaring: the same bits with every libm.
double power(double base, int64_t exponent) {
  double result = 1.0;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result *= base;
    base *= base;
  }
  return result;
}

}  // namespace

AdamwConstants adamw_constants(const AdamwHyperparameters& h, const StepState& step) {
  const int64_t t = int64_t{step.step} + 1;
  const double c1 = 1.0 - power(h.beta1, t);
  const double root_c2 = std::sqrt(1.0 - power(h.beta2, t));
  const double rate = step.learning_rate * h.learning_rate_scale;
  const double decay = 1.0 - rate * h.weight_decay;
  const bool torch = h.rule == AdamwRule::kTorch;
  return {
      .gradient_scale = static_cast<float>(static_cast<double>(step.clip_factor) / step.loss_scale),
      .beta1 = static_cast<float>(h.beta1),
      .one_minus_beta1 = static_cast<float>(1.0 - h.beta1),
      .beta2 = static_cast<float>(h.beta2),
      .one_minus_beta2 = static_cast<float>(1.0 - h.beta2),
      .before = static_cast<float>(torch ? decay : 1.0),
      .step_size = static_cast<float>(torch ? rate / c1 : rate * root_c2 / c1),
      .root_scale = static_cast<float>(torch ? 1.0 / root_c2 : 1.0),
      .epsilon = static_cast<float>(torch ? h.epsilon : h.epsilon * root_c2),
      .after = static_cast<float>(torch ? 1.0 : decay)};
}

void adamw_step(Context& ctx, const AdamwSpan& args) {
  if (ctx.step->finite == 0) return;
  const AdamwElements elements{.p = args.parameters.data(),
                               .g = args.gradients.data(),
                               .m = args.exp_avg.data(),
                               .v = args.exp_avg_sq.data(),
                               .constants = adamw_constants(args.hyperparameters, *ctx.step)};
  const auto kernel = QE_ISA_SELECT(adamw_elements);
  // One "row" per vector, so that only the last one has a tail.
  constexpr int64_t kLanes = 16;
  const int64_t n = static_cast<int64_t>(args.parameters.size());
  for_row_ranges(ctx, (n + kLanes - 1) / kLanes, kLanes, [&](int64_t begin, int64_t end) {
    kernel(elements, begin * kLanes, std::min(n, end * kLanes));
  });
}

}  // namespace qe::cpu
