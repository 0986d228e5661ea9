// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Decoding of 4-bit weights for the numeric code (compiled per instruction set: simd.h has the
// rules): value = round_to_dtype(table[nibble] * scale of its block), product in fp32.

#include "kernels/cpu/gemm_kernel.h"
#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {
namespace {

/// The scale of a block. With double quantization: multiply, then add, each rounded.
QE_INLINE float quant4_scale(const Quant4View& q, int64_t block) {
  if (q.absmax != nullptr) return q.absmax[block];
  return q.nested_map[q.absmax_codes[block]] * q.nested_absmax[block >> 8] + q.nested_offset;
}

/// Rounds fp32 to the dtype (nearest even) and back.
template <DType kRound>
QE_INLINE Vec round_to(Vec a) {
  if constexpr (kRound == DType::kF16) return round_f16(a);
  if constexpr (kRound == DType::kBF16) return round_bf16(a);
  return a;
}

/// Elements are numbered along the flattened matrix.
template <DType kRound>
struct Quant4Decoder {
  const Quant4View& q;
  NibbleTable table;
  explicit Quant4Decoder(const Quant4View& view) : q(view), table(load_nibble_table(view.table)) {}

  /// Elements [first, first + 32), first a multiple of 32: of one block, as blocks have 32 or more.
  QE_INLINE void pair(int64_t first, Vec& a, Vec& b) const {
    const uint8_t* codes = q.codes + first / 2;
    lookup_pair(table, codes, codes + 8, a, b);
    const Vec scale = set(quant4_scale(q, first >> q.block_shift));
    a = round_to<kRound>(a * scale);
    b = round_to<kRound>(b * scale);
  }

  /// The scales of elements first, first + k, ... first + 15 k.
  QE_INLINE Vec column_scales(int64_t first) const {
    float scale[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      scale[i] = quant4_scale(q, (first + i * q.k) >> q.block_shift);
    }
    return load(scale);
  }
  /// Elements [col, col + 16) of rows [row, row + 16), as columns: emit(i, column col + i) for i <
  /// 16. k and col are multiples of 16, so that each row's elements are of one block.
  template <class Emit>
  QE_INLINE void columns(int64_t row, int64_t col, Vec scales, Emit emit) const {
    lookup_columns(table, q.codes + (row * q.k + col) / 2, q.k / 2,
                   [&](int i, Vec value) { emit(i, round_to<kRound>(value * scales)); });
  }

  /// Elements [first, first + count), count <= 16, any start, any block border; slow. Other lanes
  /// are 0.
  Vec any(int64_t first, int64_t count) const {
    float value[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = first + i;
      const int code = (at & 1) == 0 ? q.codes[at / 2] >> 4 : q.codes[at / 2] & 15;
      value[i] = q.table[code] * quant4_scale(q, at >> q.block_shift);
    }
    return round_to<kRound>(load(value));
  }
  /// As a gemm source (see gemm_pack.h).
  QE_INLINE Vec row(int64_t row, int64_t col, int64_t count) const {
    return any(row * q.k + col, count);
  }
};

}  // namespace
}  // namespace qe::cpu::QE_ISA
