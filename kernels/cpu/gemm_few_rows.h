// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The product of a few rows with a weight stored (N, K), for gemm_kernel.cpp (compiled per
// instruction set: simd.h has the rules).
//
// With few rows a packed panel of b would be used once or twice only. So blocks of 16 x 16 weights
// are turned (and decoded) in registers and go straight into the chains: one panel of 16 columns,
// all rows of a tile. On cores with wide registers the decoding then hides behind the FMAs.

#include "kernels/cpu/gemm_kernel.h"
#include "kernels/cpu/gemm_pack.h"
#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {
namespace {

// Rows of the highest tile. Products with more rows pack instead: decoding again for a second tile
// costs more than packing once.
#if defined(QE_ISA_IS_avx512)
constexpr int kFewTileRows = 16;
#elif defined(QE_ISA_IS_avx2) || defined(QE_ISA_IS_neon)
constexpr int kFewTileRows = 6;
#else
constexpr int kFewTileRows = 2;
#endif

// Lines of the panel that comes next are fetched while this one is multiplied: the 16 rows of a
// panel are too many streams for the hardware to follow.
template <class Pointer>
QE_INLINE void prefetch_rows(Pointer p, int64_t stride_bytes) {
  const char* line = reinterpret_cast<const char*>(p);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) __builtin_prefetch(line + i * stride_bytes);
}

// Sources: columns(col, k, emit) calls emit(i, weights (col .. col + 15, k + i)) for i = 0 .. 15 in
// ascending order; k ascends from one call to the next.
template <class Rows>
struct FewDense {
  const Rows& rows;
  int64_t stride_bytes;
  int64_t line_elements;  // of a cache line
  template <class Emit>
  QE_INLINE void columns(int64_t col, int64_t k, Emit emit) {
    if (k % line_elements == 0) {
      prefetch_rows(rows.data + (col + kGemmPanel) * rows.stride + k, stride_bytes);
    }
    alignas(64) float block[kLanes * kLanes];
    transpose_block(rows, col, k, block, kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) emit(i, load(block + i * kLanes));
  }
};
template <DType kRound>
struct FewQuant4 {
  const Quant4Decoder<kRound>& decoder;
  bool same_borders;  // all rows change blocks at the same k's
  Vec scales;
  int64_t next_scales = 0;  // the k from which on they are others
  template <class Emit>
  QE_INLINE void columns(int64_t col, int64_t k, Emit emit) {
    const Quant4View& q = decoder.q;
    if (k % 128 == 0) {
      prefetch_rows(q.codes + ((col + kGemmPanel) * q.k + k) / 2, q.k / 2);
    }
    if (k >= next_scales) {
      scales = decoder.column_scales(col * q.k + k);
      const int64_t block_size = int64_t{1} << q.block_shift;
      next_scales = same_borders ? (k | (block_size - 1)) + 1 : k + kLanes;
    }
    decoder.columns(col, k, scales, emit);
  }
};

struct FewTile {
  int64_t k_begin;
  int64_t depth;   // a multiple of 16
  const float* a;  // packed [k][kRows]
  int64_t rows;    // that exist: 1 .. kRows
  int64_t col;
  float* c;
  int64_t c_stride;
  const float* bias;  // null: none
  bool from_c;
};

template <int kRows, class Source>
void few_tile(Source source, const FewTile& t) {
  Vec sum[kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    sum[i] = t.from_c && i < t.rows ? load(t.c + i * t.c_stride) : zero();
  }
  const float* a = t.a;
  for (int64_t k = 0; k < t.depth; k += kLanes) {
    source.columns(
        t.col, t.k_begin + k, [&](int j, Vec weights) __attribute__((always_inline)) {
#pragma GCC unroll 16
          for (int i = 0; i < kRows; ++i) sum[i] = fma(set(a[j * kRows + i]), weights, sum[i]);
        });
    a += kLanes * kRows;
  }
  const Vec bias = t.bias != nullptr ? load(t.bias) : zero();
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    if (i < t.rows) store(t.c + i * t.c_stride, t.bias != nullptr ? sum[i] + bias : sum[i]);
  }
}

// Tiles come in some heights; rows that a product lacks are zeros.
int64_t few_tile_height(int64_t rows) {
  constexpr int64_t kHeights[] = {1, 2, 4, 6, 8, 12};
  for (const int64_t height : kHeights) {
    if (rows <= height && height <= kFewTileRows) return height;
  }
  return kFewTileRows;
}

// The smallest tile of at least kRows rows that has `height` of them.
template <int kRows, class Source>
QE_INLINE void run_few_tile(const Source& source, const FewTile& t, int64_t height) {
  if constexpr (kRows < kFewTileRows) {
    if (height > kRows) {
      constexpr int kNext = kRows == 1   ? 2
                            : kRows == 2 ? 4
                            : kRows == 4 ? 6
                            : kRows == 6 ? 8
                                         : kRows + 4;
      return run_few_tile<kNext>(source, t, height);
    }
  }
  few_tile<kRows>(source, t);
}

// Rows [row, row + rows) of a, k's [k, k + depth), as [k][height].
void pack_few_rows(const GemmProblem& g, int64_t row, int64_t rows, int64_t k, int64_t depth,
                   int64_t height, float* out) {
  for (int64_t d = 0; d < depth; d += kLanes) {
    alignas(64) float block[kLanes * kLanes];
    alignas(64) float turned[kLanes * kLanes];
    for (int64_t i = 0; i < height; ++i) {
      store(block + i * kLanes, i < rows ? load(g.a + (row + i) * g.a_stride + k + d) : zero());
    }
    for (int64_t i = height; i < kLanes; ++i) store(block + i * kLanes, zero());
    transpose16(block, kLanes, turned, kLanes);
    for (int64_t j = 0; j < kLanes; ++j) {
      __builtin_memcpy(out + (d + j) * height, turned + j * kLanes,
                       static_cast<size_t>(height) * sizeof(float));
    }
  }
}

// All rows by whole panels [col_begin, col_end). packed_a: 16 * kGemmDepth floats.
template <class Source>
void few_rows_block(const GemmProblem& g, const Source& source, int64_t row, int64_t row_end,
                    int64_t col_begin, int64_t col_end, float* packed_a) {
  const int64_t rows = row_end - row;
  const int64_t height = few_tile_height(rows);
  for (int64_t k = 0; k < g.k; k += kGemmDepth) {
    const int64_t depth = at_most(g.k - k, kGemmDepth);
    pack_few_rows(g, row, rows, k, depth, height, packed_a);
    const bool last = k + depth == g.k;
    for (int64_t col = col_begin; col < col_end; col += kGemmPanel) {
      const FewTile t{.k_begin = k,
                      .depth = depth,
                      .a = packed_a,
                      .rows = rows,
                      .col = col,
                      .c = g.c + row * g.c_stride + col,
                      .c_stride = g.c_stride,
                      .bias = last && g.bias != nullptr ? g.bias + col : nullptr,
                      .from_c = g.accumulate || k > 0};
      run_few_tile<1>(source, t, height);
    }
  }
}

template <DType kRound>
void few_rows_4bit(const GemmProblem& g, int64_t row_begin, int64_t row_end, int64_t col_begin,
                   int64_t col_end, float* packed_a) {
  const Quant4Decoder<kRound> decoder(g.b4);
  const FewQuant4<kRound> source{decoder, g.b4.k % (int64_t{1} << g.b4.block_shift) == 0, zero()};
  few_rows_block(g, source, row_begin, row_end, col_begin, col_end, packed_a);
}
template <class Rows>
void few_rows_dense(const GemmProblem& g, const Rows& rows, int64_t row_begin, int64_t row_end,
                    int64_t col_begin, int64_t col_end, float* packed_a) {
  constexpr int64_t kElementBytes = sizeof(*rows.data);
  const FewDense<Rows> source{rows, g.b_stride * kElementBytes, 64 / kElementBytes};
  few_rows_block(g, source, row_begin, row_end, col_begin, col_end, packed_a);
}

/// Whether few_rows computes this product's whole panels.
QE_INLINE bool takes_few_rows(const GemmProblem& g, int64_t rows) {
  return rows <= kFewTileRows && g.b_transposed && !g.a_transposed && g.alpha == 1.0f &&
         g.k % kLanes == 0;
}

/// Rows [row_begin, row_end), columns [col_begin, col_end): a multiple of 16 of them.
void few_rows(const GemmProblem& g, int64_t row_begin, int64_t row_end, int64_t col_begin,
              int64_t col_end, float* packed_a) {
  if (g.b == nullptr) {
    const auto run = g.b4.dtype == DType::kF16    ? &few_rows_4bit<DType::kF16>
                     : g.b4.dtype == DType::kBF16 ? &few_rows_4bit<DType::kBF16>
                                                  : &few_rows_4bit<DType::kF32>;
    return run(g, row_begin, row_end, col_begin, col_end, packed_a);
  }
  const uint16_t* half = static_cast<const uint16_t*>(g.b);
  if (g.b_dtype == DType::kF16) {
    few_rows_dense(g, DenseF16{half, g.b_stride}, row_begin, row_end, col_begin, col_end, packed_a);
  } else if (g.b_dtype == DType::kBF16) {
    few_rows_dense(g, DenseBf16{half, g.b_stride}, row_begin, row_end, col_begin, col_end,
                   packed_a);
  } else {
    few_rows_dense(g, DenseF32{static_cast<const float*>(g.b), g.b_stride}, row_begin, row_end,
                   col_begin, col_end, packed_a);
  }
}

}  // namespace
}  // namespace qe::cpu::QE_ISA
