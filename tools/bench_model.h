// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A model with random weights and one batch, run over and over: what `bench train` and `bench
// infer` time.

#include <memory>
#include <vector>

#include "engine/model/weight_loader.h"
#include "engine/train/update.h"
#include "kernels/ops/backend.h"
#include "tools/bench_floor.h"

namespace qe::tools {

class BenchModel {
 public:
  /// Loads random weights and plans and owns all memory, as the trainer and fill-mask do. device
  /// and compute_dtype are run_config's; threads: 0 = all. work.n_labels is set: 15 % of the tokens
  /// in training, else one per sequence.
  BenchModel(const EncoderConfig& config, BenchWork& work, const std::string& device,
             const std::string& compute_dtype, int threads);

  /// One update, or one forward pass with the best 5 answers of every mask.
  void step();

  const std::vector<MemoryRow>& memory() const { return memory_.rows(); }
  Context& context() { return ctx_; }
  double last_loss() const { return last_loss_; }  ///< per label; training only

 private:
  void make_batch(BenchWork& work);
  void infer(Tape& tape, const BatchView& batch);

  Context make_context(const std::string& compute_dtype);

  ThreadPool threads_;
  Backend backend_;
  Arena arena_;
  Context ctx_;
  Memory memory_;
  StepMemory step_;
  MaskedLm model_;
  std::unique_ptr<LoraAdapter> adapter_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Tape> tape_;
  PackedBatch batch_;
  std::unique_ptr<BatchBuffer> buffer_;
  Tensor logits_;  // (M, V); inference only
  std::span<int32_t> best_ids_;
  std::span<float> best_scores_;
  bool training_;
  bool recompute_;
  double last_loss_ = 0.0;
};

}  // namespace qe::tools
