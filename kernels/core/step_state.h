// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Whatever changes from step to step sits in one struct in the device's memory, never in a kernel's
// argument, so that a step can be recorded once and replayed (a CUDA graph).

#include <cstdint>

namespace qe {

struct StepState {
  uint64_t seed = 0;
  uint32_t epoch = 0;
  int32_t step = 0;  ///< updates done before this one; AdamW's t is step + 1
  float learning_rate = 0.0f;
  float loss_scale = 1.0f;      ///< multiplies dlogits; gradients are divided by it before the clip
  float inverse_labels = 0.0f;  ///< 1 / labelled tokens of the whole update (0 when there are none)
  float clip_factor = 1.0f;     ///< written by the gradient-norm op, read by AdamW
  float gradient_norm = 0.0f;   ///< before clipping
  int32_t finite = 1;           ///< 0: AdamW skips this update
};

}  // namespace qe
