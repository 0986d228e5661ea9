// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The CPU matrix product as raw pointers: what gemm, matmul4 and their callers inside one task
// hand to the numeric code of the chosen instruction set.
//
// c (M, N) = [c +] op(a) (M, K) * alpha op(b) (K, N) [+ bias]. Every output element is one fp32 FMA
// chain over ascending k; the way the work is cut changes nothing.

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/cpu/isa.h"

namespace qe::cpu {

/// A 4-bit matrix of n rows by k columns (kernels/ops/quant4.h), unpacked into plain fields.
struct Quant4View {
  int64_t n = 0;
  int64_t k = 0;
  int block_shift = 6;             ///< log2 of the block size
  DType dtype = DType::kF32;       ///< what decoded values are rounded to
  const float* table = nullptr;    ///< (16)
  const uint8_t* codes = nullptr;  ///< (n * k + 1) / 2 bytes
  const float* absmax = nullptr;   ///< plain scales, or null and the four below
  const uint8_t* absmax_codes = nullptr;
  const float* nested_absmax = nullptr;
  const float* nested_map = nullptr;
  float nested_offset = 0.0f;
};

struct GemmProblem {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const float* a = nullptr;
  int64_t a_stride = 0;
  bool a_transposed = false;  ///< a is stored (K, M)
  const void* b = nullptr;    ///< dense of b_dtype; null: the 4-bit matrix b4
  int64_t b_stride = 0;       ///< in elements; dense only
  DType b_dtype = DType::kF32;
  bool b_transposed = false;  ///< b (or b4) is stored (N, K)
  Quant4View b4;
  float alpha = 1.0f;           ///< multiplies b's elements before the chain
  const float* bias = nullptr;  ///< (N), added last; null with accumulate
  float* c = nullptr;
  int64_t c_stride = 0;
  bool accumulate = false;  ///< chains start from c instead of 0
};

/// Sizes of the blocks that fit the caches; shared by all instruction sets, so that scratch depends
/// on shapes only. A block of a is packed once and used by all columns, a block of b is used at
/// once by all of those rows.
constexpr int64_t kGemmDepth = 768;   ///< k per packed block
constexpr int64_t kGemmRows = 576;    ///< rows of a per packed block, at most: stay in L2 and L3
constexpr int64_t kGemmColumns = 64;  ///< columns of b per packed block, at most: stay in L2
/// Columns of one packed panel of b.
constexpr int64_t kGemmPanel = 16;

/// Scratch of one gemm_block call with at most `rows` rows and `columns` columns, in floats: a
/// multiple of 16.
constexpr int64_t gemm_block_scratch(int64_t rows, int64_t columns, int64_t k) {
  const int64_t depth = k < kGemmDepth ? k : kGemmDepth;
  const int64_t high = rows < kGemmRows ? (rows + 15) / 16 * 16 : kGemmRows;
  const int64_t wide = columns < kGemmColumns ? columns : kGemmColumns;
  const int64_t panels = (wide + kGemmPanel - 1) / kGemmPanel;
  return panels * (depth + 1) * kGemmPanel + high * depth + kGemmPanel;
}

QE_PER_ISA(
    /// Computes rows [row_begin, row_end) and columns [col_begin, col_end) of c.
    void gemm_block(const GemmProblem& problem, int64_t row_begin, int64_t row_end,
                    int64_t col_begin, int64_t col_end, float* scratch);)

}  // namespace qe::cpu
