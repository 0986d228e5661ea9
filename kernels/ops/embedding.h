// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Input embeddings, and the row gather that lets the MLM head run on labelled rows only.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

struct EmbeddingForward {
  std::span<const int32_t> token_ids;     ///< (T), each in [0, V)
  std::span<const int32_t> type_ids;      ///< (T); read when type_table is there
  std::span<const int32_t> position_ids;  ///< (T); read when position_table is there
  /// (T) factors of the word rows, or empty: 1. ESM's token dropout.
  std::span<const float> word_scales;
  Tensor word_table;      ///< (V, C) F32, F16 or BF16
  Tensor type_table;      ///< (types, C) nullable
  Tensor position_table;  ///< (positions, C) nullable
  Tensor out;             ///< (T, C) computed: scale * word + type + position, in that order
};
/// Ids outside their tables throw Error (CPU: checked here; CUDA: the caller has checked them).
void embedding_forward(Context& ctx, const EmbeddingForward& args);

/// y[i] = x[rows[i]]. x: (T, C), y: (M, C) of the compute type, rows: (M) in [0, T).
void gather_rows(Context& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& y);
/// gather_rows backward: dx[rows[i]] += dy[i] (kAccumulate), after dx = 0 (kOverwrite). rows are
/// distinct, so the sum has at most one new term per row.
void scatter_rows(Context& ctx, const Tensor& dy, std::span<const int32_t> rows, const Tensor& dx,
                  GradientMode mode);

}  // namespace qe
