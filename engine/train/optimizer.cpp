// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/train/optimizer.h"

#include <algorithm>

#include "kernels/ops/transfer.h"

namespace qe {
namespace {

int64_t blocks_of(int64_t size) { return (size + kAdamw8Block - 1) / kAdamw8Block; }

template <class T>
std::span<T> array(Memory& memory, const char* row, int64_t n, MemoryKind kind) {
  if (n == 0) return {};
  return {memory.allocate_array<T>(row, n, kind), static_cast<size_t>(n)};
}

}  // namespace

Optimizer::Optimizer(const OptimizerOptions& options, const LoraAdapter& adapter, Memory& memory)
    : ctx_(adapter.context()),
      parameters_(adapter.parameters()),
      gradients_(adapter.gradients()),
      hyperparameters_{.rule = options.name.starts_with("adamw_torch") ? AdamwRule::kTorch
                                                                       : AdamwRule::kBitsandbytes,
                       .beta1 = options.beta1,
                       .beta2 = options.beta2,
                       .epsilon = options.epsilon,
                       .weight_decay = options.weight_decay} {
  const bool in_8bit = options.name.ends_with("_8bit");
  int64_t n_fp32 = 0;
  int64_t n_blocks = 0;
  for (const LoraPair& pair : adapter.pairs()) {
    for (const Tensor& tensor : {pair.a, pair.b}) {
      const bool blocked = in_8bit && tensor.size() >= kMin8BitSize;
      matrices_.push_back({tensor.f32() - parameters_.data(), tensor.size(), blocked, {}});
      (blocked ? n_blocks : n_fp32) += blocked ? blocks_of(tensor.size()) : tensor.size();
    }
  }
  const bool paged = options.paged.value_or(options.name.starts_with("paged_"));
  const MemoryKind kind = paged ? MemoryKind::kPaged : MemoryKind::kDevice;
  const char* const row = paged ? "optimizer states (paged)" : "optimizer states";
  const std::span<float> exp_avg = array<float>(memory, row, n_fp32, kind);
  const std::span<float> exp_avg_sq = array<float>(memory, row, n_fp32, kind);
  const std::span<Adamw8Block> blocks = array<Adamw8Block>(memory, row, n_blocks, kind);
  blocked_ = Adamw8Span{.parameters = parameters_,
                        .gradients = gradients_,
                        .blocks = blocks,
                        .exp_avg = array<uint8_t>(memory, row, n_blocks * kAdamw8Block, kind),
                        .exp_avg_sq = array<uint8_t>(memory, row, n_blocks * kAdamw8Block, kind),
                        .exp_avg_scale = array<float>(memory, row, n_blocks, kind),
                        .exp_avg_sq_scale = array<float>(memory, row, n_blocks, kind),
                        .hyperparameters = hyperparameters_};
  int64_t fp32_at = 0;
  int64_t block_at = 0;
  std::vector<Adamw8Block> filled;
  for (Matrix& matrix : matrices_) {
    if (matrix.blocked) {
      const int64_t n = blocks_of(matrix.size);
      append_blocks(matrix, filled);
      name_blocked_states(matrix, block_at, n);
      block_at += n;
    } else {
      add_fp32(matrix, exp_avg.subspan(fp32_at, matrix.size),
               exp_avg_sq.subspan(fp32_at, matrix.size));
      fp32_at += matrix.size;
    }
  }
  if (memory.planning()) return;
  copy_bytes(ctx_, blocks.data(), filled.data(), blocks.size_bytes());
}

void Optimizer::append_blocks(const Matrix& matrix, std::vector<Adamw8Block>& blocks) {
  for (int64_t begin = 0; begin < matrix.size; begin += kAdamw8Block) {
    blocks.push_back({matrix.begin + begin, std::min(kAdamw8Block, matrix.size - begin)});
  }
}

void Optimizer::name_blocked_states(Matrix& matrix, int64_t first_block, int64_t n_blocks) {
  const int64_t code = first_block * kAdamw8Block;
  matrix.states = {
      {"exp_avg", DType::kU8, matrix.size, blocked_.exp_avg.data() + code},
      {"exp_avg_scale", DType::kF32, n_blocks, blocked_.exp_avg_scale.data() + first_block},
      {"exp_avg_sq", DType::kU8, matrix.size, blocked_.exp_avg_sq.data() + code},
      {"exp_avg_sq_scale", DType::kF32, n_blocks, blocked_.exp_avg_sq_scale.data() + first_block}};
}

// Neighbours share a span.
void Optimizer::add_fp32(Matrix& matrix, std::span<float> exp_avg, std::span<float> exp_avg_sq) {
  matrix.states = {{"exp_avg", DType::kF32, matrix.size, exp_avg.data()},
                   {"exp_avg_sq", DType::kF32, matrix.size, exp_avg_sq.data()}};
  const size_t begin = static_cast<size_t>(matrix.begin);
  const float* const first = parameters_.data() + begin;
  if (spans_.empty() ||
      spans_.back().parameters.data() + spans_.back().parameters.size() != first) {
    spans_.push_back({.parameters = parameters_.subspan(begin, 0),
                      .gradients = gradients_.subspan(begin, 0),
                      .exp_avg = exp_avg.first(0),
                      .exp_avg_sq = exp_avg_sq.first(0),
                      .hyperparameters = hyperparameters_});
  }
  AdamwSpan& span = spans_.back();
  const size_t size = span.parameters.size() + exp_avg.size();
  span.parameters = {span.parameters.data(), size};
  span.gradients = {span.gradients.data(), size};
  span.exp_avg = {span.exp_avg.data(), size};
  span.exp_avg_sq = {span.exp_avg_sq.data(), size};
}

void Optimizer::step(Context& ctx) const {
  for (const AdamwSpan& span : spans_) adamw_step(ctx, span);
  if (!blocked_.blocks.empty()) adamw8_step(ctx, blocked_);
}

const std::vector<OptimizerState>& Optimizer::states(int64_t begin) const {
  const auto found = std::find_if(matrices_.begin(), matrices_.end(),
                                  [&](const Matrix& m) { return m.begin == begin; });
  QE_CHECK(found != matrices_.end(), "no matrix of the adapter begins at parameter ", begin);
  return found->states;
}

void Optimizer::read_state(const OptimizerState& state, void* to) const {
  copy_bytes(ctx_, to, state.data, static_cast<size_t>(state.size) * dtype_size(state.dtype));
  synchronize(ctx_);
}

void Optimizer::write_state(const OptimizerState& state, const void* from) const {
  copy_bytes(ctx_, state.data, from, static_cast<size_t>(state.size) * dtype_size(state.dtype));
  synchronize(ctx_);
}

}  // namespace qe
