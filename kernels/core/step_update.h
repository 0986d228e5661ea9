// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What ops compute on a StepState, once for host and device.

#include <cmath>

#include "kernels/core/host_device.h"
#include "kernels/core/step_state.h"

namespace qe {

/// The norm's part, from the sum of the squares of all (scaled) gradients.
QE_HOST_DEVICE inline void set_gradient_norm(StepState& step, double sum_of_squares,
                                             float max_norm) {
  const double norm = std::sqrt(sum_of_squares) / static_cast<double>(step.loss_scale);
  step.gradient_norm = static_cast<float>(norm);
  step.finite = std::isfinite(step.gradient_norm) ? 1 : 0;
  const double factor = static_cast<double>(max_norm) / (norm + 1e-6);
  step.clip_factor = max_norm > 0.0f && factor < 1.0 ? static_cast<float>(factor) : 1.0f;
}

/// Dynamic loss scaling, see update_loss_scale.
QE_HOST_DEVICE inline void set_loss_scale(StepState& step, int32_t interval) {
  if (step.finite == 0) {
    step.loss_scale = step.loss_scale > 2.0f ? step.loss_scale * 0.5f : 1.0f;
    step.finite_updates = 0;
  } else if (++step.finite_updates >= interval) {
    step.loss_scale = step.loss_scale < 0x1p23f ? step.loss_scale * 2.0f : 0x1p24f;
    step.finite_updates = 0;
  }
}

}  // namespace qe
