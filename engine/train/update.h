// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// One update: forward and backward of its micro-batches, the gradient's norm, the optimizer.

#include <span>

#include "engine/model/batch_buffer.h"
#include "engine/model/masked_lm.h"
#include "engine/train/optimizer.h"
#include "engine/train/step_memory.h"
#include "engine/train/training_snapshot.h"

namespace qe {

/// What updates run over. Owns nothing.
struct UpdateParts {
  const MaskedLm& model;
  const LoraAdapter& adapter;  ///< trainable
  const Optimizer& optimizer;
  Tape& tape;        ///< recording
  StepMemory& step;  ///< of the tape's context; learning rate and step are set
  BatchBuffer& batches;
  const TrainingSnapshot* snapshot = nullptr;  ///< what may still be copied from is not changed
  bool checkpoint = false;                     ///< compute layers again in the backward pass
  float max_grad_norm = 1.0f;                  ///< 0: no clipping
  float label_smoothing = 0.0f;
  float noise_alpha = 0.0f;  ///< of the input embeddings
  /// The loss of an update: the mean over all its labels; or, as transformers 4 has it, the mean of
  /// its micro-batches' means (those without labels do not count).
  bool mean_of_means = false;
};

struct UpdateResult {
  MlmTotals totals;
  double loss = 0.0;  ///< of the update, as the gradient has it
};

/// Finite updates before the loss scale of fp16 doubles, as torch's GradScaler has it.
inline constexpr int32_t kLossScaleInterval = 2000;
/// Its start.
inline constexpr float kFirstLossScale = 65536.0f;

/// Writes StepState's inverse_labels, gradient_norm, clip_factor and finite; when the loss
/// or the gradient is not finite the parameters stay.
UpdateResult run_update(const UpdateParts& parts, std::span<const PackedBatch> batches);

}  // namespace qe
