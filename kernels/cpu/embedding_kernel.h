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
  float* out;
  int64_t out_stride;
  int64_t cols;
};
QE_PER_ISA(void embedding_rows(const EmbeddingRows& args, int64_t begin, int64_t end);)

}  // namespace qe::cpu
