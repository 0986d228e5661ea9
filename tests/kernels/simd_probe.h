// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The operations of kernels/cpu/simd.h and vecmath.h, callable from generic tests on every
// instruction set.

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace qe::cpu {

enum class Probe {
  // fp32 lanes
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFma,
  kFnma,
  kSqrt,
  kMin,
  kMax,
  kSelectLess,
  kSelectLessEqual,
  kSelectEqual,
  kRoundF16,
  kRoundBf16,
  kAbs,
  kNegate,
  kExp,
  kLog,
  kErf,
  kTanh,
  kLogistic,
  // integer lanes, carried as bits
  kIntAdd,
  kIntSub,
  kIntAnd,
  kIntOr,
  kIntXor,
  kMulLow,
  kMulHigh,
  kShiftLeft,
  kShiftRight,
  kLessInt,
  kEqualInt,
  kToFloat,
  kNotFinite,
  kCount,
};

QE_PER_ISA(
    /// out[i] = op(a[i], b[i], c[i]) for 16 lanes.
    void simd_probe(Probe op, const float* a, const float* b, const float* c, float* out);
    /// The same unary operation over n lanes, n a multiple of 16.
    void simd_probe_all(Probe op, const float* a, float* out, int64_t n);
    float simd_reduce_add(const float* a); float simd_reduce_max(const float* a);
    void simd_load_f16(const uint16_t* a, float* out);
    void simd_load_bf16(const uint16_t* a, float* out);
    /// Copies n of 16 lanes, the rest of out becomes 0 or is left alone.
    void simd_load_first(const float* a, int64_t n, float* out);
    void simd_store_first(const float* a, int64_t n, float* out);
    void simd_transpose(const float* src, int64_t src_stride, float* dst, int64_t dst_stride);
    /// 6 rows of 16; dst holds 96 + 16.
    void simd_interleave6(const float* src, int64_t stride, float* dst);
    /// Two groups of 8 bytes; out: 32.
    void simd_lookup_pair(const float* table, const uint8_t* p, const uint8_t* q, float* out);
    /// 16 rows of 8 bytes; out[16 * k + row].
    void simd_lookup_columns(const float* table, const uint8_t* p, int64_t stride, float* out);)

}  // namespace qe::cpu
