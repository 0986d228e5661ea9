// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What is decided on the host before a kernel runs and before its scratch is planned. No CUDA in
// here: a program without the CUDA backend plans for a GPU, too (workspace.cpp).

#include <algorithm>

#include "kernels/cuda/runtime.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/matmul4.h"

namespace qe::cuda {

/// How many pieces of `size` cover `total`.
inline int64_t pieces(int64_t total, int64_t size) { return (total + size - 1) / size; }

// ---- Attention (attention.cu) -------------------------------------------------------------------

inline constexpr int kShortLength = 128;
inline constexpr int64_t kMaxShortDim = 64;

// One block for a whole short sequence spares two products of seven, a launch, and half of the
// reads. With wider heads its accumulators would not fit into registers.
inline int short_length(int64_t head_dim) { return head_dim <= kMaxShortDim ? kShortLength : 0; }

// Words of drop decisions for each (query, head) that one pass of backward leaves for the other: 1
// bit a score, up to a length where that is still less than the activations of a layer.
inline int64_t drop_words(const Context& ctx, const AttentionShape& shape) {
  constexpr int64_t kMaxLength = 1024;
  const bool drawn_twice = shape.dropout_p > 0.0f && ctx.compute != DType::kF32 &&
                           shape.max_length > short_length(shape.head_dim);
  return drawn_twice && shape.max_length <= kMaxLength ? pieces(shape.max_length, 32) : 0;
}

// ---- Products (gemm.cu) -------------------------------------------------------------------------

// What NVIDIA recommends for its own libraries.
inline size_t product_library_bytes(const Context& ctx) {
  return size_t{ctx.limits.compute_capability >= 90 ? 32u : 4u} << 20;
}

// Where sums are long enough to be cut, and what the parts may take.
inline constexpr int64_t kLongSum = 8192;
inline constexpr int64_t kMaxSumParts = 32;
inline constexpr int64_t kSumPartBytes = int64_t{64} << 20;

struct SumParts {
  int64_t n = 1;
  int64_t depth = 0;  // of one; what is left of k follows
};

// A wave of 128 x 256 tiles that leaves multiprocessors idle costs as much as a full one; a part
// costs the traffic of its fp32 output, 8 bytes for 2 * k operations: about 800 / k of the product
// (H100: 600 TFLOP/s, 3 TB/s).
inline SumParts choose_parts(const Context& ctx, int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kUnit = 64;  // of k
  SumParts best{1, k};
  if (k < kLongSum) return best;
  const int64_t tiles = pieces(m, 128) * pieces(n, 256);
  const int64_t wave = std::max(ctx.limits.n_multiprocessors, 1);
  const int64_t most = std::min(kMaxSumParts, kSumPartBytes / (m * n * int64_t{sizeof(float)}));
  double best_cost = 0.0;
  for (int64_t parts = 1; parts <= std::max<int64_t>(most, 1); ++parts) {
    const double waves = static_cast<double>(pieces(tiles * parts, wave) * wave) /
                         static_cast<double>(tiles * parts);
    const double traffic =
        parts == 1 ? 0.0 : 800.0 * static_cast<double>(parts) / static_cast<double>(k);
    if (parts > 1 && waves + traffic >= best_cost) continue;
    best_cost = waves + traffic;
    best = {parts, k / parts / kUnit * kUnit};
  }
  return best;
}

// ---- Sums over rows (column_sums.cuh, layernorm.cu, embedding.cu)
// --------------------------------

struct Slices {
  int64_t tokens;  // of one
  int64_t n;
};

// At most so many slices of rows, and not fewer for more rows: a plan is made for the most.
inline int64_t most_row_slices(int64_t rows, int64_t cols) {
  constexpr int64_t kBlocksWanted = 512;
  constexpr int64_t kTileColumns = 256;
  constexpr int64_t kMinSlice = 64;
  constexpr int64_t kMost = 64;
  const int64_t tiles = std::max<int64_t>(pieces(cols, kTileColumns), 1);
  return std::min({pieces(kBlocksWanted, tiles), pieces(rows, kMinSlice), kMost});
}

inline Slices choose_row_slices(int64_t rows, int64_t cols) {
  const int64_t tokens = pieces(rows, std::max<int64_t>(most_row_slices(rows, cols), 1));
  return {tokens, tokens == 0 ? 0 : pieces(rows, tokens)};
}

// LayerNorm's gradients of gamma and beta: rows that a block takes one after the other.
inline int64_t most_norm_slices(int64_t rows) {
  constexpr int64_t kMost = 1024;
  return std::min(rows, kMost);
}

inline Slices choose_norm_slices(int64_t rows) {
  const int64_t tokens = pieces(rows, std::max<int64_t>(most_norm_slices(rows), 1));
  return {tokens, tokens == 0 ? 0 : pieces(rows, tokens)};
}

// Tokens, ordered by the rows of a table, that a block of embedding_backward adds up.
inline constexpr int64_t kEmbeddingPiece = 32;

// ---- Sums of outer products (lora.cu) -----------------------------------------------------------

struct OuterProductTile {
  static constexpr int kWide = 128;      // columns of the wide side for a block
  static constexpr int kNarrowest = 64;  // of the narrow side: it, twice or three times as many
  static constexpr int kTokens = 32;     // at a time
};

// Columns of the narrow side for a block: the fewest that take all of them, if there are so many.
inline int64_t narrow_columns(int64_t n_narrow) {
  constexpr int64_t kUnit = OuterProductTile::kNarrowest;
  return std::clamp<int64_t>(pieces(n_narrow, kUnit), 1, 3) * kUnit;
}

// At most so many slices, and not fewer for more tokens: a plan is made for the most.
inline int64_t most_slices(int64_t n_tokens, int64_t n_wide, int64_t n_narrow) {
  constexpr int64_t kBlocksWanted = 256;
  constexpr int64_t kMinSlice = 128;
  const int64_t tiles =
      pieces(n_wide, OuterProductTile::kWide) * pieces(n_narrow, narrow_columns(n_narrow));
  return std::min(pieces(kBlocksWanted, tiles), pieces(n_tokens, kMinSlice));
}

inline Slices choose_slices(int64_t n_tokens, int64_t n_wide, int64_t n_narrow) {
  constexpr int64_t kTokens = OuterProductTile::kTokens;
  const int64_t most = std::max<int64_t>(most_slices(n_tokens, n_wide, n_narrow), 1);
  const int64_t tokens = pieces(pieces(n_tokens, most), kTokens) * kTokens;
  return {tokens, pieces(n_tokens, tokens)};
}

inline bool has_outer_products_kernel(const Context& ctx, int64_t n_left, int64_t n_right) {
  return ctx.compute != DType::kF32 && ctx.limits.compute_capability >= 80 && n_left % 8 == 0 &&
         n_right % 8 == 0;
}

// ---- Products with 4-bit weights (matmul4.cu) ---------------------------------------------------

struct FewTokensTile {
  static constexpr int kRows = 128;   // of W for a block; 32 for a warp
  static constexpr int kDepth = 128;  // of k at a time: 32 for a lane
};

struct Split {
  int64_t steps;  // of FewTokensTile::kDepth, per part
  int64_t parts;
};

// Three blocks for each multiprocessor, as long as there is k to split. Independent of the number
// of tokens: a token's result does not depend on its neighbours.
inline Split choose_split(const Context& ctx, int64_t n, int64_t k) {
  const int64_t tiles = pieces(n, FewTokensTile::kRows);
  const int64_t n_steps = std::max<int64_t>(pieces(k, FewTokensTile::kDepth), 1);
  const int64_t wanted = pieces(3 * ctx.limits.n_multiprocessors, tiles);
  const int64_t steps = pieces(n_steps, std::clamp<int64_t>(wanted, 1, n_steps));
  return {steps, pieces(n_steps, steps)};
}

// Which of the two ways. Measured on an H100 with 64 tokens: 4096 x 1024 11 us instead of 7 to
// decode and 6 to multiply, 16384 x 4096 56 us instead of 63 and 50; fewer tokens gain more
// (16: 6.5 and 28 us).
inline bool few_tokens(const Context& ctx, int64_t m, const Quant4Matrix& w) {
  constexpr int64_t kFewTokens = 64;
  return m <= kFewTokens && w.k > 0 && w.k % 32 == 0 && ctx.compute != DType::kF32 &&
         (w.dtype == ctx.compute || w.dtype == DType::kF32) &&
         w.n <= FewTokensTile::kRows * Runtime::kCounters && ctx.limits.compute_capability >= 80;
}

}  // namespace qe::cuda
