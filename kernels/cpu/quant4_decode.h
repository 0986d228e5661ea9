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

/// A gemm source (see gemm_pack.h): 16 consecutive decoded values of one row.
template <DType kRound>
struct Quant4Decoder {
  const Quant4View& q;
  Table16 table;
  explicit Quant4Decoder(const Quant4View& view) : q(view), table(load_table(view.table)) {}

  QE_INLINE Vec row(int64_t row, int64_t col, int64_t count) const {
    const int64_t first = row * q.k + col;
    return count == kLanes ? full(first) : partial(first, count);
  }

  /// Elements first .. first + 15 of the flattened matrix.
  QE_INLINE Vec full(int64_t first) const {
    const int64_t block = first >> q.block_shift;
    if ((first & 1) != 0 || (first + kLanes - 1) >> q.block_shift != block) {
      return partial(first, kLanes);
    }
    const Vec value = lookup16(table, load_nibbles(q.codes + first / 2));
    return round_to<kRound>(value * set(quant4_scale(q, block)));
  }

  /// Any start, any block border; slow.
  Vec partial(int64_t first, int64_t count) const {
    float value[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = first + i;
      const int code = (at & 1) == 0 ? q.codes[at / 2] >> 4 : q.codes[at / 2] & 15;
      value[i] = q.table[code] * quant4_scale(q, at >> q.block_shift);
    }
    return round_to<kRound>(load(value));
  }
};

}  // namespace
}  // namespace qe::cpu::QE_ISA
