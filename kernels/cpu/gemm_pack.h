// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Packing of b for gemm_kernel.cpp (compiled per instruction set: simd.h has the rules).
//
// A packed block holds depth k's by some columns, as panels of 16 columns: panel p at
// out + p * panel_stride(depth), element (k, column) of it at k * 16 + column % 16, zero beyond the
// last column. A source gives 16 consecutive stored elements as fp32; the packers below put them in
// place, whether the source is stored (K, N) or (N, K). 4-bit sources have faster ones for the
// shapes that models have.

#include "kernels/cpu/gemm_kernel.h"
#include "kernels/cpu/quant4_decode.h"
#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {
namespace {

/// row(): elements [col, col + count) of a stored row; count <= 16, the rest is 0.
struct DenseF32 {
  const float* data;
  int64_t stride;
  QE_INLINE const float* at(int64_t row, int64_t col) const { return data + row * stride + col; }
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

/// Panels do not start a multiple of 4096 bytes apart, lest they share a few lines of the cache.
QE_INLINE int64_t panel_stride(int64_t depth) { return (depth + 1) * kGemmPanel; }

/// Stored (K, N): rows of b are copied, a few of them at a time to keep reads and writes together.
template <class Source>
void pack_rows(const Source& source, const PackRange& range, float* out) {
  constexpr int64_t kRows = 8;
  for (int64_t begin = 0; begin < range.depth; begin += kRows) {
    const int64_t end = at_most(begin + kRows, range.depth);
    float* panel = out;
    for (int64_t j = 0; j < range.columns; j += kGemmPanel, panel += panel_stride(range.depth)) {
      const int64_t count = at_most(range.columns - j, kGemmPanel);
      for (int64_t k = begin; k < end; ++k) {
        store(panel + k * kGemmPanel, source.row(range.k_begin + k, range.col_begin + j, count));
      }
    }
  }
}

/// out[k * out_stride + i] = element (col + i, k_begin + k) of a matrix stored (N, K), for i, k
/// < 16.
template <class Source>
QE_INLINE void transpose_block(const Source& source, int64_t col, int64_t k_begin, float* out,
                               int64_t out_stride) {
  if constexpr (requires { source.at(0, 0); }) {
    transpose16(source.at(col, k_begin), source.stride, out, out_stride);
  } else {
    alignas(64) float block[kLanes * kLanes];
    for (int64_t i = 0; i < kLanes; ++i) {
      store(block + i * kLanes, source.row(col + i, k_begin, kLanes));
    }
    transpose16(block, kLanes, out, out_stride);
  }
}

/// Stored (N, K): 16 x 16 blocks are transposed on the way.
template <class Source>
void pack_transposed(const Source& source, const PackRange& range, float* out) {
  for (int64_t j = 0; j < range.columns; j += kGemmPanel, out += panel_stride(range.depth)) {
    const int64_t rows = at_most(range.columns - j, kGemmPanel);
    for (int64_t k = 0; k < range.depth; k += kLanes) {
      const int64_t count = at_most(range.depth - k, kLanes);
      if (rows == kGemmPanel && count == kLanes) {
        transpose_block(source, range.col_begin + j, range.k_begin + k, out + k * kGemmPanel,
                        kGemmPanel);
        continue;
      }
      alignas(64) float block[kLanes * kLanes];
      for (int64_t i = 0; i < rows; ++i) {
        store(block + i * kLanes, source.row(range.col_begin + j + i, range.k_begin + k, count));
      }
      for (int64_t i = rows; i < kLanes; ++i) store(block + i * kLanes, zero());
      alignas(64) float turned[kLanes * kLanes];
      transpose16(block, kLanes, turned, kLanes);
      for (int64_t i = 0; i < count; ++i) {
        store(out + (k + i) * kGemmPanel, load(turned + i * kLanes));
      }
    }
  }
}

/// The part of a range from its column `done` on, done a multiple of 16.
QE_INLINE PackRange columns_from(const PackRange& range, int64_t done) {
  return {range.k_begin, range.depth, range.col_begin + done, range.columns - done};
}

/// 4 bits, stored (K, N): 32 columns at a time.
template <DType kRound>
void pack_rows(const Quant4Decoder<kRound>& source, const PackRange& range, float* out) {
  const int64_t stride = panel_stride(range.depth);
  const bool aligned = source.q.k % 32 == 0 && range.col_begin % 32 == 0;
  int64_t done = 0;
  for (; aligned && range.columns - done >= 32; done += 32, out += 2 * stride) {
    int64_t first = range.k_begin * source.q.k + range.col_begin + done;
    for (int64_t k = 0; k < range.depth; ++k, first += source.q.k) {
      Vec a, b;
      source.pair(first, a, b);
      store(out + k * kGemmPanel, a);
      store(out + stride + k * kGemmPanel, b);
    }
  }
  if (done < range.columns) {
    pack_rows<Quant4Decoder<kRound>>(source, columns_from(range, done), out);
  }
}

/// 4 bits, stored (N, K): blocks of 16 x 16 are transposed as nibbles, before they are decoded.
template <DType kRound>
void pack_transposed(const Quant4Decoder<kRound>& source, const PackRange& range, float* out) {
  const int64_t row_length = source.q.k;
  const int64_t block_size = int64_t{1} << source.q.block_shift;
  const bool aligned = row_length % 16 == 0 && range.depth % 16 == 0;
  // Then all 16 rows change blocks at the same k's.
  const bool same_borders = row_length % block_size == 0;
  int64_t done = 0;
  for (; aligned && range.columns - done >= kGemmPanel;
       done += kGemmPanel, out += panel_stride(range.depth)) {
    const int64_t row = range.col_begin + done;
    Vec scales = zero();
    for (int64_t k = 0; k < range.depth; k += kLanes) {
      const int64_t col = range.k_begin + k;
      if (k == 0 || !same_borders || (col & (block_size - 1)) == 0) {
        scales = source.column_scales(row * row_length + col);
      }
      float* to = out + k * kGemmPanel;
      source.columns(row, col, scales,
                     [=](int i, Vec value) { store(to + i * kGemmPanel, value); });
    }
  }
  if (done < range.columns) {
    pack_transposed<Quant4Decoder<kRound>>(source, columns_from(range, done), out);
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

void pack_b(const GemmProblem& g, const PackRange& range, float* out) {
  if (g.b == nullptr) {
    if (g.b4.dtype == DType::kF16) {
      pack(Quant4Decoder<DType::kF16>(g.b4), g.b_transposed, range, out);
    } else if (g.b4.dtype == DType::kBF16) {
      pack(Quant4Decoder<DType::kBF16>(g.b4), g.b_transposed, range, out);
    } else {
      pack(Quant4Decoder<DType::kF32>(g.b4), g.b_transposed, range, out);
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
  for (int64_t j = 0; j < range.columns; j += kGemmPanel, out += panel_stride(range.depth)) {
    for (int64_t i = 0; i < range.depth * kGemmPanel; i += kLanes) {
      store(out + i, load(out + i) * alpha);
    }
  }
}

}  // namespace
}  // namespace qe::cpu::QE_ISA
