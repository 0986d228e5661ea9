// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Whatever changes from step to step sits in one struct in the device's memory, never in a kernel's
// argument, so that a step can be recorded once and replayed (a CUDA graph).

#include <cstddef>
#include <cstdint>

namespace qe {

struct StepState {
  // Written by the host before an update.
  uint64_t seed = 0;
  uint32_t epoch = 0;
  int32_t step = 0;  ///< updates done before this one; AdamW's t is step + 1
  float learning_rate = 0.0f;
  float inverse_labels = 0.0f;  ///< 1 / labelled tokens of the whole update (0 when there are none)

  // Written by ops.
  float loss_scale = 1.0f;     ///< multiplies dlogits; gradients are divided by it before the clip
  int32_t finite_updates = 0;  ///< since loss_scale last changed
  float clip_factor = 1.0f;    ///< written by the gradient-norm op, read by AdamW
  float gradient_norm = 0.0f;  ///< before clipping
  int32_t finite = 1;          ///< 0: AdamW skips this update
};

/// Bytes at the front of a StepState that the host writes before an update.
inline constexpr size_t kStepInputBytes = offsetof(StepState, loss_scale);

}  // namespace qe
