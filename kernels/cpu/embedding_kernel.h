// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace qe::cpu {

enum class TableType { kF32, kF16, kBF16 };

/// One table of an embedding sum; data == nullptr: absent.
struct EmbeddingTable {
  const void* data;
  int64_t stride;
  TableType type;
  const int32_t* ids;  ///< (T)
};

/// out[t] = tables[0][ids] + tables[1][ids] + tables[2][ids], added in that order.
struct EmbeddingRows {
  EmbeddingTable tables[3];
  const float* word_scales;  ///< (T) factors of the first table's rows, nullable
  const int32_t* slots;      ///< of the first table's ids: rows of `replaced` or -1; nullable
  const float* replaced;
  int64_t replaced_stride;
  float* out;
  int64_t out_stride;
  int64_t cols;
};

/// qe::EmbeddingBackward as plain data.
struct EmbeddingGradient {
  const int32_t* ids;    ///< (T)
  const int32_t* slots;  ///< nullable
  const float* scales;   ///< (T) nullable
  int32_t padding_id;
  const float* d_out;
  int64_t d_out_stride;
  int64_t rows;
  float* d_table;
  int64_t d_table_stride;
};
QE_PER_ISA(void embedding_rows(const EmbeddingRows& args, int64_t begin, int64_t end);
           // Columns [begin, end).
           void embedding_gradient(const EmbeddingGradient& args, int64_t begin, int64_t end);)

}  // namespace qe::cpu
