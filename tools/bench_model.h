// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A model with random weights and one batch, run over and over: what `bench train` and `bench
// infer` time.

#include <memory>
#include <optional>
#include <vector>

#include "engine/model/weight_loader.h"
#include "engine/train/update.h"
#include "kernels/ops/backend.h"
#include "tools/bench_floor.h"

namespace qe::tools {

class BenchModel {
 public:
  struct Options {  ///< run_config's
    std::string device = "auto", optim = "adamw_torch", compute_dtype = "auto";
    int threads = 0;
    bool resident_weights = true;
  };
  /// Loads random weights and plans and owns all memory, as the trainer and fill-mask do.
  /// work.n_labels is set: 15 % of the tokens in training, else one per sequence.
  BenchModel(const EncoderConfig& config, BenchWork& work, const Options& options)
      : BenchModel(config, work, options, false) {}

  /// One update, or one forward pass with the best 5 answers of every mask.
  void step();

  const std::vector<MemoryRow>& memory() const { return memory_.rows(); }
  Context& context() { return ctx_; }
  double last_loss() const { return last_loss_; }  ///< per label; training only

 private:
  BenchModel(const EncoderConfig& config, BenchWork& work, const Options& options, bool planning);
  void take_memory(const EncoderConfig& config, BenchWork& work, const Options& options);
  void make_batch(BenchWork& work);
  void infer(Tape& tape, const BatchView& batch);

  Context make_context(const std::string& compute_dtype, bool planning);

  ThreadPool threads_;
  Backend backend_;
  Arena arena_;
  Context ctx_;
  Memory memory_;
  std::optional<StepMemory> step_;
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
