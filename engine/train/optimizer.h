// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// AdamW over an adapter's flat buffers. States are fp32, or in 8-bit blocks for large matrices;
// they may be paged.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/memory/paged_table.h"
#include "engine/model/lora.h"
#include "kernels/ops/adamw8.h"

namespace qe {

struct OptimizerOptions {
  /// run_config's optim: adamw_torch and adamw_torch_fused have torch's rule, all others
  /// bitsandbytes'; *_8bit keeps matrices of kMin8BitSize and more in 8-bit blocks; paged_* may
  /// leave the device.
  std::string name = "adamw_torch";
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;  ///< not of biases and norms
  /// LoRA+ (Hayou et al. 2024, arXiv:2402.12354), as peft's create_loraplus_optimizer: the learning
  /// rate of B and of all vectors, as a multiple of that of the rest. 1: none of it.
  double loraplus_lr_ratio = 1.0;
  std::optional<bool> paged;  ///< absent: as the name says; the results are the same either way
  PagingOptions paging;
};

/// The update of a parameter of this kind: transformers' Trainer decays all but biases and norms,
/// with LoRA+ RMS norms as well.
AdamwHyperparameters hyperparameters_of(const OptimizerOptions& options, ParameterKind kind);

/// One stored part of a matrix's states.
struct OptimizerState {
  std::string name;  ///< exp_avg, exp_avg_sq: fp32 values, or codes beside exp_avg_scale ...
  DType dtype = DType::kF32;
  int64_t size = 0;
  void* data = nullptr;  ///< where Optimizer keeps it
};

class Optimizer {
 public:
  /// bitsandbytes' min_8bit_size: smaller matrices have 32-bit states in any case, and so have
  /// embeddings.
  static constexpr int64_t kMin8BitSize = 4096;

  /// The adapter is trainable and outlives the optimizer. States are zero at first. Memory rows:
  /// PagedTable's of "optimizer states" (or "optimizer states (paged)"), and of 8-bit states
  /// "optimizer blocks".
  Optimizer(const OptimizerOptions& options, const LoraAdapter& adapter, Memory& memory);

  /// One update; learning rate, step and clip factor come from the context's StepState.
  void step(Context& ctx) const;

  /// The states of one of the adapter's matrices (its first parameter is number `begin`), for
  /// checkpoints.
  const std::vector<OptimizerState>& states(int64_t begin) const;
  /// Holds the context's stream until the states are where states() says.
  void settle(Context& ctx) const;
  /// Copies a state's values to host memory (of its size), or from it. Waits.
  void read_state(const OptimizerState& state, void* to) const;
  void write_state(const OptimizerState& state, const void* from) const;

 private:
  struct Matrix {
    int64_t begin;
    int64_t size;
    bool blocked;  // 8-bit states
    AdamwHyperparameters hyperparameters;
    std::vector<OptimizerState> states;
  };
  // Neighbouring matrices with fp32 states that are updated alike.
  struct Run {
    int64_t parameter;  // the first
    int64_t state;      // its row of fp32_
    int64_t size;
    AdamwHyperparameters hyperparameters;
  };
  // Blocks that are updated alike.
  struct BlockRun {
    int64_t begin, n;
    AdamwHyperparameters hyperparameters;
  };
  void add_fp32(Matrix& matrix, int64_t state);
  void add_blocked(Matrix& matrix, std::vector<Adamw8Block>& blocks);

  mutable Context ctx_;  // of the states' device
  std::span<float> parameters_;
  std::span<const float> gradients_;
  std::vector<Matrix> matrices_;         // in the order of the flat buffers
  std::vector<Run> runs_;                // all matrices with fp32 states
  std::span<const Adamw8Block> blocks_;  // of all matrices with 8-bit states
  std::vector<BlockRun> block_runs_;     // all of them
  std::unique_ptr<PagedTable> fp32_;     // exp_avg, exp_avg_sq
  std::unique_ptr<PagedTable> blocked_;  // a row is a block: codes of both, scales of both
};

}  // namespace qe
