// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What is the same for all elements of an AdamW update, worked out on the device in fp64.

#include "kernels/core/step_state.h"
#include "kernels/ops/adamw.h"

namespace qe::cuda {

// See kernels/ops/adamw.h for the two rules.
struct AdamwCoefficients {
  float gradient_scale;
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float before;  // factor of the parameter before the step
  float step_size;
  float root_scale;  // of sqrt(v)
  float epsilon;
  float after;  // factor of the parameter after the step
};

__device__ inline double adamw_power(double base, int64_t exponent) {
  double result = 1.0;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result *= base;
    base *= base;
  }
  return result;
}

__device__ inline AdamwCoefficients adamw_coefficients(const AdamwHyperparameters& s,
                                                       const StepState& step) {
  const int64_t t = int64_t{step.step} + 1;
  const double c1 = 1.0 - adamw_power(s.beta1, t);
  const double root_c2 = sqrt(1.0 - adamw_power(s.beta2, t));
  const double rate = static_cast<double>(step.learning_rate) * s.learning_rate_scale;
  const double decay = 1.0 - rate * s.weight_decay;
  const bool torch = s.rule == AdamwRule::kTorch;
  return {static_cast<float>(static_cast<double>(step.clip_factor) /
                             static_cast<double>(step.loss_scale)),
          static_cast<float>(s.beta1),
          static_cast<float>(1.0 - s.beta1),
          static_cast<float>(s.beta2),
          static_cast<float>(1.0 - s.beta2),
          static_cast<float>(torch ? decay : 1.0),
          static_cast<float>(torch ? rate / c1 : rate * root_c2 / c1),
          static_cast<float>(torch ? 1.0 / root_c2 : 1.0),
          static_cast<float>(torch ? s.epsilon : s.epsilon * root_c2),
          static_cast<float>(torch ? 1.0 : decay)};
}

}  // namespace qe::cuda
