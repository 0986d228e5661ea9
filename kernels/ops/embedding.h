// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Input embeddings, the gradients of their tables, and the row gather that lets the MLM head run on
// labelled rows only.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// Rows of a word table that rows of a small table stand for: PEFT's trainable_token_indices.
struct ReplacedRows {
  std::span<const int32_t> ids;    ///< (n) distinct, each in [0, V); read by the head
  std::span<const int32_t> slots;  ///< (V): slots[ids[i]] = i, else -1; read by embeddings
  Tensor rows;                     ///< (n, C) of the compute type; absent: nothing is replaced
};

struct EmbeddingForward {
  std::span<const int32_t> token_ids;     ///< (T), each in [0, V)
  std::span<const int32_t> type_ids;      ///< (T); read when type_table is there
  std::span<const int32_t> position_ids;  ///< (T); read when position_table is there
  /// (T) factors of the word rows, or empty: 1. ESM's token dropout.
  std::span<const float> word_scales;
  Tensor word_table;      ///< (V, C) F32, F16 or BF16
  ReplacedRows replaced;  ///< of word_table
  Tensor type_table;      ///< (types, C) nullable
  Tensor position_table;  ///< (positions, C) nullable
  Tensor out;             ///< (T, C) computed: scale * word + type + position, in that order
};
/// Ids outside their tables throw Error (CPU: checked here; CUDA: the caller has checked them).
void embedding_forward(Context& ctx, const EmbeddingForward& args);

/// The gradient of one table: of all rows, or of some.
struct EmbeddingBackward {
  std::span<const int32_t> ids;    ///< (T), each in [0, V)
  std::span<const int32_t> slots;  ///< (V) rows of d_table, -1: none; or empty: row = id
  std::span<const float> scales;   ///< (T) as word_scales were, or empty: 1
  int32_t padding_id = -1;         ///< has no gradient (torch's padding_idx)
  Tensor d_out;                    ///< (T, C) computed
  Tensor d_table;                  ///< (V, C), or as many rows as slots name; fp32, accumulated
};
/// d_table[row of ids[t]] += scales[t] * d_out[t]. On the CPU a row's tokens come in ascending
/// order, one fused multiply-add each; on a GPU in an order that the ids fix, with fp32 sums.
/// Errors as embedding_forward's. Scratch, on a GPU: T * (12 + C / 4) bytes.
void embedding_backward(Context& ctx, const EmbeddingBackward& args);

/// y[i] = x[rows[i]]. x: (T, C), y: (M, C) of the compute type, rows: (M) in [0, T).
void gather_rows(Context& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& y);
/// gather_rows backward: dx[rows[i]] += dy[i] (kAccumulate), after dx = 0 (kOverwrite). rows are
/// distinct, so the sum has at most one new term per row.
void scatter_rows(Context& ctx, const Tensor& dy, std::span<const int32_t> rows, const Tensor& dx,
                  GradientMode mode);

}  // namespace qe
