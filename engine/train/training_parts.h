// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// All of a run that takes memory, in the order in which it takes it. Built over memory that counts
// it is the run's plan, over memory that is owned it is the run.

#include <memory>

#include "engine/memory/memory.h"
#include "engine/model/batch_buffer.h"
#include "engine/model/weight_loader.h"
#include "engine/train/optimizer.h"
#include "engine/train/step_memory.h"
#include "engine/train/training_snapshot.h"
#include "formats/run_config.h"

namespace qe {

/// What no micro-batch exceeds.
struct BatchShape {
  int64_t sequences = 0;
  int64_t tokens = 0;
  int64_t length = 0;  ///< of the longest sequence
};

/// What of a run's data its memory depends on.
struct RunShape {
  bool trains = false;                          ///< else it evaluates only
  int64_t train_samples = 0, train_length = 0;  ///< tokens of the longest sample
  int64_t train_min_length = 1;                 ///< and of the shortest
  int64_t eval_samples = 0, eval_length = 0;    ///< 0: no evaluation

  BatchShape train_batch(const RunConfig& config) const;
  BatchShape eval_batch(const RunConfig& config) const;
};

/// Whether the run's optimizer states are paged; "auto" is as optim says.
bool pages_states(const RunConfig& config);

struct TrainingParts {
  /// `config` has no resident_weights "auto" that should be more than none. Sets the context's
  /// arena and step state, which live here; the context outlives this. Memory rows: StepMemory's,
  /// load_masked_lm's, LoraAdapter's, Optimizer's, TrainingSnapshot's, BatchBuffer's,
  /// "losses of labels" and "activations, gradients, scratch".
  TrainingParts(const RunConfig& config, const RunShape& shape, const EncoderConfig& encoder,
                TensorSource& weights, Context& ctx, Memory& memory, const Log& log);
  TrainingParts(const TrainingParts&) = delete;
  TrainingParts& operator=(const TrainingParts&) = delete;

  StepMemory step;
  MaskedLm model;
  std::unique_ptr<LoraAdapter> adapter;  ///< null: the base alone
  std::unique_ptr<Optimizer> optimizer;  ///< of a run that trains
  std::unique_ptr<TrainingSnapshot> snapshot;
  int64_t train_capacity = 0;  ///< tokens that a micro-batch was planned for
  int64_t eval_capacity = 0;
  float* label_losses = nullptr;  ///< (eval_capacity) on the device; of a run that only evaluates
  std::unique_ptr<BatchBuffer> batches;
  Arena arena;
  std::unique_ptr<Tape> tape;

 private:
  void load_model(const RunConfig& config, const RunShape& shape, const EncoderConfig& encoder,
                  TensorSource& weights, const Context& ctx, Memory& memory, const Log& log);
  void allocate_arena(const RunConfig& config, const RunShape& shape, Context& ctx, Memory& memory);
};

/// A batch that takes as much memory as any of the shape: every row labelled. Its tokens and labels
/// are 0.
PackedBatch largest_batch(const EncoderConfig& encoder, const BatchShape& shape);

}  // namespace qe
