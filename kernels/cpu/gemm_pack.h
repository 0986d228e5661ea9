// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Packing of b for gemm_kernel.cpp (compiled per instruction set: simd.h has the rules).
//
// A packed block holds depth k's by some columns, as panels of 16 columns: panel p at
// out + p * depth * 16, element (k, column) at k * 16 + column % 16, zero beyond the last column.
// A source gives 16 consecutive stored elements as fp32; the two packers below put them in place,
// whether the source is stored (K, N) or (N, K).

#include "kernels/cpu/gemm_kernel.h"
#include "kernels/cpu/quant4_decode.h"
#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {
namespace {

/// Elements [col, col + count) of a stored row; count <= 16, the rest is 0.
struct DenseF32 {
  const float* data;
  int64_t stride;
  QE_INLINE Vec row(int64_t row, int64_t col, int64_t count) const {
    const float* p = data + row * stride + col;
    return count == kLanes ? load(p) : load_first(p, count);
  }
};
struct DenseF16 {
  const uint16_t* data;
  int64_t stride;
  QE_INLINE Vec row(int64_t row, int64_t col, int64_t count) const {
    const uint16_t* p = data + row * stride + col;
    return count == kLanes ? load_f16(p) : load_f16_first(p, count);
  }
};
struct DenseBf16 {
  const uint16_t* data;
  int64_t stride;
  QE_INLINE Vec row(int64_t row, int64_t col, int64_t count) const {
    const uint16_t* p = data + row * stride + col;
    return count == kLanes ? load_bf16(p) : load_bf16_first(p, count);
  }
};

/// The part of b to pack.
struct PackRange {
  int64_t k_begin;
  int64_t depth;
  int64_t col_begin;
  int64_t columns;
};

QE_INLINE int64_t at_most(int64_t value, int64_t limit) { return value < limit ? value : limit; }

/// Stored (K, N): rows of b are copied panel by panel.
template <class Source>
void pack_rows(const Source& source, const PackRange& range, float* out) {
  for (int64_t k = 0; k < range.depth; ++k) {
    float* to = out + k * kGemmPanel;
    for (int64_t j = 0; j < range.columns; j += kGemmPanel) {
      const int64_t count = at_most(range.columns - j, kGemmPanel);
      store(to, source.row(range.k_begin + k, range.col_begin + j, count));
      to += range.depth * kGemmPanel;
    }
  }
}

/// Stored (N, K): 16 x 16 blocks are transposed on the way.
template <class Source>
void pack_transposed(const Source& source, const PackRange& range, float* out) {
  for (int64_t j = 0; j < range.columns; j += kGemmPanel) {
    const int64_t rows = at_most(range.columns - j, kGemmPanel);
    float* panel = out + j * range.depth;
    for (int64_t k = 0; k < range.depth; k += kLanes) {
      const int64_t count = at_most(range.depth - k, kLanes);
      alignas(64) float block[kLanes * kLanes];
      for (int64_t i = 0; i < rows; ++i) {
        store(block + i * kLanes, source.row(range.col_begin + j + i, range.k_begin + k, count));
      }
      for (int64_t i = rows; i < kLanes; ++i) store(block + i * kLanes, zero());
      if (count == kLanes) {
        transpose16(block, kLanes, panel + k * kGemmPanel, kGemmPanel);
        continue;
      }
      alignas(64) float turned[kLanes * kLanes];
      transpose16(block, kLanes, turned, kLanes);
      for (int64_t i = 0; i < count; ++i) {
        store(panel + (k + i) * kGemmPanel, load(turned + i * kLanes));
      }
    }
  }
}

template <class Source>
void pack(const Source& source, bool transposed, const PackRange& range, float* out) {
  if (transposed) {
    pack_transposed(source, range, out);
  } else {
    pack_rows(source, range, out);
  }
}

template <DType kRound>
void pack_quant4(const GemmProblem& g, const PackRange& range, float* out) {
  const Quant4Decoder<kRound> source(g.b4);
  pack(source, g.b_transposed, range, out);
}

void pack_b(const GemmProblem& g, const PackRange& range, float* out) {
  if (g.b == nullptr) {
    if (g.b4.dtype == DType::kF16) {
      pack_quant4<DType::kF16>(g, range, out);
    } else if (g.b4.dtype == DType::kBF16) {
      pack_quant4<DType::kBF16>(g, range, out);
    } else {
      pack_quant4<DType::kF32>(g, range, out);
    }
  } else if (g.b_dtype == DType::kF16) {
    pack(DenseF16{static_cast<const uint16_t*>(g.b), g.b_stride}, g.b_transposed, range, out);
  } else if (g.b_dtype == DType::kBF16) {
    pack(DenseBf16{static_cast<const uint16_t*>(g.b), g.b_stride}, g.b_transposed, range, out);
  } else {
    pack(DenseF32{static_cast<const float*>(g.b), g.b_stride}, g.b_transposed, range, out);
  }
  if (g.alpha == 1.0f) return;
  const Vec alpha = set(g.alpha);
  const int64_t panels = (range.columns + kGemmPanel - 1) / kGemmPanel;
  for (int64_t i = 0; i < panels * range.depth * kGemmPanel; i += kLanes) {
    store(out + i, load(out + i) * alpha);
  }
}

}  // namespace
}  // namespace qe::cpu::QE_ISA
