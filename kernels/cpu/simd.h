// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// One vector type for all instruction sets: Vec, 16 fp32 lanes (AVX-512: one register; AVX2: two;
// NEON: four; scalar: an array). Numeric code is written once over it and gives the same bits
// everywhere, because every operation here is exactly rounded or exact, fused multiply-adds are
// written out (the build sets -ffp-contract=off), and nothing calls libm.
//
// What each simd_<isa>.h defines, lane by lane:
//   types      Vec (fp32), Int (uint32), Mask (a truth value per lane); all trivially copyable
//   memory     set zero load store load_f16 load_bf16; set_int load_int store_int;
//              load_first(p, n) and store_first(p, v, n) touch n elements (0 .. 16) only, the other
//              lanes are loaded as 0
//   arithmetic + - * / and fma(a, b, c) = a * b + c, fnma(a, b, c) = c - a * b, sqrt
//              min(a, b) = a < b ? a : b and max(a, b) = a > b ? a : b (so b when either is NaN)
//   compare    less less_equal equal (false for NaN); select(mask, a, b) = mask ? a : b;
//              mask_and mask_or mask_bits (bit i = lane i); truth_int: all ones or 0 per lane
//   integers   + - & | ^, shl<n> shr<n> (logical), mul_low and mul_high (of the 64-bit product),
//              less_int (unsigned) equal_int; bits(Vec) and as_float(Int) reinterpret, to_float
//              converts from int32; round_f16 rounds fp32 to binary16 and back;
//   across     reduce_add and reduce_max: the fixed tree below
//   blocks     transpose16: 16 x 16 from memory to memory;
//              load_columns(src, stride, emit): emit(k, v) for k = 0 .. 15 in ascending order, lane
//              i of v = src[i * stride + k]; interleave<rows>: dst[k * rows + i] = src[i * stride +
//              k] for 16 k's; may also write the 16 elements that follow dst's last one
//   nibbles    NibbleTable: 16 fp32 values to be indexed by 4-bit codes (byte j's high nibble is
//              code 2j); lookup_pair(table, p, q, a, b): a = the 16 values of the 8 bytes at p, b
//              of those at q; lookup_columns(table, p, stride, emit): 16 rows of 8 bytes, emit(k,
//              v) is called for k = 0 .. 15 in ascending order, lane i of v = value k of row i
//
// The tree of reduce_*: lane i takes lane i + 8 (i < 8), then i + 4, i + 2, i + 1; always
// op(lower lane, higher lane).
//
// Rules for a file compiled per instruction set (kernels/cpu/*_kernel.cpp). The linker keeps one
// copy of an inline function that several object files define, whatever instructions it was
// compiled to. An AVX-512 copy of, say, std::min<long> could so become the one that a machine
// without AVX-512 runs. Therefore these files:
//   - put everything into namespace qe::cpu::QE_ISA or an unnamed namespace;
//   - see raw pointers and plain structs only, no Tensor, no std templates, no exceptions;
//   - include no header with inline functions, except simd.h, vecmath.h (everything in QE_ISA's
//     namespace) and kernels/core/{dtype,philox,quant_codebook}.h (whose functions are always
//     inlined).
// tests/kernels/check_isa_symbols.cmake looks at the object files for violations.

#include <cstdint>
#include <cstring>

// The build sets QE_ISA and QE_ISA_IS_<isa>; without them this is the scalar form.
#ifndef QE_ISA
#define QE_ISA scalar
#endif

#define QE_INLINE [[gnu::always_inline]] inline

#if defined(QE_ISA_IS_avx512)
#include "kernels/cpu/simd_avx512.h"
#elif defined(QE_ISA_IS_avx2)
#include "kernels/cpu/simd_avx2.h"
#elif defined(QE_ISA_IS_neon)
#include "kernels/cpu/simd_neon.h"
#else
#include "kernels/cpu/simd_scalar.h"
#endif

namespace qe::cpu::QE_ISA {

constexpr int kLanes = 16;

/// As load_first.
QE_INLINE Vec load_f16_first(const uint16_t* p, int64_t n) {
  uint16_t lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load_f16(lanes);
}
QE_INLINE Vec load_bf16_first(const uint16_t* p, int64_t n) {
  uint16_t lanes[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load_bf16(lanes);
}
QE_INLINE Vec abs(Vec a) { return as_float(bits(a) & set_int(0x7fffffffu)); }
QE_INLINE Vec operator-(Vec a) { return as_float(bits(a) ^ set_int(0x80000000u)); }
/// fp32 rounded to bfloat16 (nearest even) and back; not for NaN.
QE_INLINE Vec round_bf16(Vec a) {
  const Int b = bits(a);
  const Int odd = shr<16>(b) & set_int(1u);
  return as_float((b + set_int(0x7fffu) + odd) & set_int(0xffff0000u));
}
/// True for NaN and infinities.
QE_INLINE Mask not_finite(Vec a) {
  return less_int(set_int(0x7f7fffffu), bits(a) & set_int(0x7fffffffu));
}

}  // namespace qe::cpu::QE_ISA
