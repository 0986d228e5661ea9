// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/optimizer.h"

#include <algorithm>

#include "kernels/ops/transfer.h"

namespace qe {
namespace {

// Of the table's rows [begin, begin + n) those in the window; none: n <= 0.
struct Rows {
  int64_t begin, n;
};
Rows in_window(const PagedTable::Window& window, int64_t begin, int64_t n) {
  const int64_t first = std::max(begin, window.begin);
  return {first, std::min(begin + n, window.begin + window.n) - first};
}

int64_t blocks_of(int64_t size) { return (size + kAdamw8Block - 1) / kAdamw8Block; }

}  // namespace

AdamwHyperparameters hyperparameters_of(const OptimizerOptions& options, ParameterKind kind) {
  using Kind = ParameterKind;
  const bool loraplus = options.loraplus_lr_ratio != 1.0;
  const bool is_vector = kind == Kind::kMagnitude || kind == Kind::kBias ||
                         kind == Kind::kLayerNorm || kind == Kind::kRmsNorm;
  const bool decays =
      kind != Kind::kBias && kind != Kind::kLayerNorm && (kind != Kind::kRmsNorm || loraplus);
  return {
      .rule =
          options.name.starts_with("adamw_torch") ? AdamwRule::kTorch : AdamwRule::kBitsandbytes,
      .beta1 = options.beta1,
      .beta2 = options.beta2,
      .epsilon = options.epsilon,
      .weight_decay = decays ? options.weight_decay : 0.0,
      .learning_rate_scale = kind == Kind::kLoraB || is_vector ? options.loraplus_lr_ratio : 1.0};
}

Optimizer::Optimizer(const OptimizerOptions& options, const LoraAdapter& adapter, Memory& memory)
    : ctx_(adapter.context()), parameters_(adapter.parameters()), gradients_(adapter.gradients()) {
  const bool in_8bit = options.name.ends_with("_8bit");
  int64_t n_fp32 = 0;
  int64_t n_blocks = 0;
  for (const NamedParameter& parameter : adapter.named()) {
    const int64_t size = parameter.value.size();
    const bool blocked = in_8bit && size >= kMin8BitSize && parameter.kind != ParameterKind::kTable;
    matrices_.push_back({.begin = parameter.value.f32() - parameters_.data(),
                         .size = size,
                         .blocked = blocked,
                         .hyperparameters = hyperparameters_of(options, parameter.kind)});
    (blocked ? n_blocks : n_fp32) += blocked ? blocks_of(size) : size;
  }
  const bool paged = options.paged.value_or(options.name.starts_with("paged_"));
  const char* const row = paged ? "optimizer states (paged)" : "optimizer states";
  const auto table = [&](int64_t n_rows, std::vector<size_t> column_bytes) {
    return std::make_unique<PagedTable>(row, n_rows, std::move(column_bytes), paged, options.paging,
                                        ctx_, memory);
  };
  fp32_ = table(n_fp32, {sizeof(float), sizeof(float)});
  blocked_ = table(n_blocks, {kAdamw8Block, kAdamw8Block, sizeof(float), sizeof(float)});
  int64_t fp32_at = 0;
  std::vector<Adamw8Block> blocks;
  for (Matrix& matrix : matrices_) {
    if (matrix.blocked) {
      add_blocked(matrix, blocks);
    } else {
      add_fp32(matrix, fp32_at);
      fp32_at += matrix.size;
    }
  }
  if (blocks.empty()) return;
  Adamw8Block* const on_device =
      memory.allocate_array<Adamw8Block>("optimizer blocks", n_blocks, MemoryKind::kDevice);
  blocks_ = {on_device, blocks.size()};
  if (!memory.planning()) copy_bytes(ctx_, on_device, blocks.data(), blocks_.size_bytes());
}

void Optimizer::add_blocked(Matrix& matrix, std::vector<Adamw8Block>& blocks) {
  const int64_t first = static_cast<int64_t>(blocks.size());
  for (int64_t begin = 0; begin < matrix.size; begin += kAdamw8Block) {
    blocks.push_back({matrix.begin + begin, std::min(kAdamw8Block, matrix.size - begin)});
  }
  const int64_t n_blocks = blocks_of(matrix.size);
  if (block_runs_.empty() || block_runs_.back().hyperparameters != matrix.hyperparameters) {
    block_runs_.push_back({first, 0, matrix.hyperparameters});
  }
  block_runs_.back().n += n_blocks;
  matrix.states = {{"exp_avg", DType::kU8, matrix.size, blocked_->at(0, first)},
                   {"exp_avg_scale", DType::kF32, n_blocks, blocked_->at(2, first)},
                   {"exp_avg_sq", DType::kU8, matrix.size, blocked_->at(1, first)},
                   {"exp_avg_sq_scale", DType::kF32, n_blocks, blocked_->at(3, first)}};
}

void Optimizer::add_fp32(Matrix& matrix, int64_t state) {
  matrix.states = {{"exp_avg", DType::kF32, matrix.size, fp32_->at(0, state)},
                   {"exp_avg_sq", DType::kF32, matrix.size, fp32_->at(1, state)}};
  if (runs_.empty() || runs_.back().parameter + runs_.back().size != matrix.begin ||
      runs_.back().hyperparameters != matrix.hyperparameters) {
    runs_.push_back({matrix.begin, state, 0, matrix.hyperparameters});
  }
  runs_.back().size += matrix.size;
}

void Optimizer::step(Context& ctx) const {
  fp32_->for_each_window(ctx, [&](const PagedTable::Window& window) {
    const std::span<float> exp_avg = window.column<float>(0);
    const std::span<float> exp_avg_sq = window.column<float>(1);
    for (const Run& run : runs_) {
      const auto [begin, n] = in_window(window, run.state, run.size);
      if (n <= 0) continue;
      const int64_t parameter = run.parameter + begin - run.state;
      const int64_t at = begin - window.begin;
      adamw_step(ctx, {.parameters = parameters_.subspan(parameter, n),
                       .gradients = gradients_.subspan(parameter, n),
                       .exp_avg = exp_avg.subspan(at, n),
                       .exp_avg_sq = exp_avg_sq.subspan(at, n),
                       .hyperparameters = run.hyperparameters});
    }
  });
  blocked_->for_each_window(ctx, [&](const PagedTable::Window& window) {
    const std::span<uint8_t> exp_avg = window.column<uint8_t>(0);
    const std::span<uint8_t> exp_avg_sq = window.column<uint8_t>(1);
    for (const BlockRun& run : block_runs_) {
      const auto [begin, n] = in_window(window, run.begin, run.n);
      if (n <= 0) continue;
      const int64_t at = begin - window.begin;
      adamw8_step(ctx, {.parameters = parameters_,
                        .gradients = gradients_,
                        .blocks = blocks_.subspan(begin, n),
                        .exp_avg = exp_avg.subspan(at * kAdamw8Block, n * kAdamw8Block),
                        .exp_avg_sq = exp_avg_sq.subspan(at * kAdamw8Block, n * kAdamw8Block),
                        .exp_avg_scale = window.column<float>(2).subspan(at, n),
                        .exp_avg_sq_scale = window.column<float>(3).subspan(at, n),
                        .hyperparameters = run.hyperparameters});
    }
  });
}

const std::vector<OptimizerState>& Optimizer::states(int64_t begin) const {
  const auto found = std::find_if(matrices_.begin(), matrices_.end(),
                                  [&](const Matrix& m) { return m.begin == begin; });
  QE_CHECK(found != matrices_.end(), "no matrix of the adapter begins at parameter ", begin);
  return found->states;
}

void Optimizer::settle(Context& ctx) const {
  fp32_->settle(ctx);
  blocked_->settle(ctx);
}

void Optimizer::read_state(const OptimizerState& state, void* to) const {
  settle(ctx_);
  copy_bytes(ctx_, to, state.data, static_cast<size_t>(state.size) * dtype_size(state.dtype));
  synchronize(ctx_);
}

void Optimizer::write_state(const OptimizerState& state, const void* from) const {
  settle(ctx_);
  copy_bytes(ctx_, state.data, from, static_cast<size_t>(state.size) * dtype_size(state.dtype));
  synchronize(ctx_);
}

}  // namespace qe
