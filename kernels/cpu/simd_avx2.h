// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The AVX2 + FMA + F16C form of simd.h, included by it: two 8-lane registers.

#include <immintrin.h>

#include <cstdint>

namespace qe::cpu::QE_ISA {

struct Vec {
  __m256 lo, hi;
};
struct Int {
  __m256i lo, hi;
};
struct Mask {
  __m256 lo, hi;  // sign bits count
};

QE_INLINE Vec set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
QE_INLINE Vec zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
QE_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
QE_INLINE void store(float* p, Vec v) {
  _mm256_storeu_ps(p, v.lo);
  _mm256_storeu_ps(p + 8, v.hi);
}
// The first n of eight lanes, as maskload and maskstore want them.
QE_INLINE __m256i first_mask(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
QE_INLINE Vec load_first(const float* p, int64_t n) {
  return {_mm256_maskload_ps(p, first_mask(n)), _mm256_maskload_ps(p + 8, first_mask(n - 8))};
}
QE_INLINE void store_first(float* p, Vec v, int64_t n) {
  _mm256_maskstore_ps(p, first_mask(n), v.lo);
  _mm256_maskstore_ps(p + 8, first_mask(n - 8), v.hi);
}
QE_INLINE Vec load_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
QE_INLINE Vec load_bf16(const uint16_t* p) {
  const __m256i lo = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i hi =
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
}

QE_INLINE Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
QE_INLINE Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
QE_INLINE Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
QE_INLINE Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
QE_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
QE_INLINE Vec fnma(Vec a, Vec b, Vec c) {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
QE_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
QE_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
QE_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }

QE_INLINE Mask less(Vec a, Vec b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
QE_INLINE Mask less_equal(Vec a, Vec b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_LE_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LE_OQ)};
}
QE_INLINE Mask equal(Vec a, Vec b) {
  return {_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)};
}
QE_INLINE Vec select(Mask m, Vec a, Vec b) {
  return {_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)};
}
QE_INLINE Mask mask_and(Mask a, Mask b) {
  return {_mm256_and_ps(a.lo, b.lo), _mm256_and_ps(a.hi, b.hi)};
}
QE_INLINE Mask mask_or(Mask a, Mask b) {
  return {_mm256_or_ps(a.lo, b.lo), _mm256_or_ps(a.hi, b.hi)};
}
QE_INLINE uint32_t mask_bits(Mask m) {
  return static_cast<uint32_t>(_mm256_movemask_ps(m.lo)) |
         static_cast<uint32_t>(_mm256_movemask_ps(m.hi)) << 8;
}

QE_INLINE Int set_int(uint32_t x) {
  const __m256i v = _mm256_set1_epi32(static_cast<int>(x));
  return {v, v};
}
QE_INLINE Int load_int(const uint32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
}
QE_INLINE void store_int(uint32_t* p, Int v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), v.hi);
}
QE_INLINE Int operator+(Int a, Int b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
QE_INLINE Int operator-(Int a, Int b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
QE_INLINE Int operator&(Int a, Int b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
QE_INLINE Int operator|(Int a, Int b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
QE_INLINE Int operator^(Int a, Int b) {
  return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)};
}
template <int N>
QE_INLINE Int shl(Int a) {
  return {_mm256_slli_epi32(a.lo, N), _mm256_slli_epi32(a.hi, N)};
}
template <int N>
QE_INLINE Int shr(Int a) {
  return {_mm256_srli_epi32(a.lo, N), _mm256_srli_epi32(a.hi, N)};
}
QE_INLINE Int mul_low(Int a, Int b) {
  return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)};
}
QE_INLINE __m256i mul_high8(__m256i a, __m256i b) {
  const __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(a, b), 32);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
  return _mm256_blend_epi32(even, odd, 0xaa);
}
QE_INLINE Int mul_high(Int a, Int b) { return {mul_high8(a.lo, b.lo), mul_high8(a.hi, b.hi)}; }
QE_INLINE __m256 less_unsigned8(__m256i a, __m256i b) {
  const __m256i flip = _mm256_set1_epi32(static_cast<int>(0x80000000u));
  return _mm256_castsi256_ps(
      _mm256_cmpgt_epi32(_mm256_xor_si256(b, flip), _mm256_xor_si256(a, flip)));
}
QE_INLINE Mask less_int(Int a, Int b) {
  return {less_unsigned8(a.lo, b.lo), less_unsigned8(a.hi, b.hi)};
}
QE_INLINE Mask equal_int(Int a, Int b) {
  return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.lo, b.lo)),
          _mm256_castsi256_ps(_mm256_cmpeq_epi32(a.hi, b.hi))};
}
QE_INLINE Int truth_int(Mask m) { return {_mm256_castps_si256(m.lo), _mm256_castps_si256(m.hi)}; }
QE_INLINE Int bits(Vec a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
QE_INLINE Vec as_float(Int a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
QE_INLINE Vec to_float(Int a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }

QE_INLINE Vec round_f16(Vec a) {
  return {_mm256_cvtph_ps(_mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT)),
          _mm256_cvtph_ps(_mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT))};
}

QE_INLINE float reduce_add(Vec a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  sum = _mm_add_ss(sum, _mm_movehdup_ps(sum));
  return _mm_cvtss_f32(sum);
}
QE_INLINE float reduce_max(Vec a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  __m128 best = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  best = _mm_max_ps(best, _mm_movehl_ps(best, best));
  best = _mm_max_ss(best, _mm_movehdup_ps(best));
  return _mm_cvtss_f32(best);
}

QE_INLINE void transpose8(__m256 (&r)[8]) {
  __m256 pair[8];
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  __m256 quad[8];
  for (int i = 0; i < 8; i += 4) {
    quad[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
    quad[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
    quad[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
    quad[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31);
  }
}
/// dst[j * dst_stride + i] = src[i * src_stride + j] for i, j < 16.
QE_INLINE void transpose16(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  for (int i = 0; i < 16; i += 8) {
    for (int j = 0; j < 16; j += 8) {
      __m256 r[8];
#pragma GCC unroll 8
      for (int row = 0; row < 8; ++row) r[row] = _mm256_loadu_ps(src + (i + row) * src_stride + j);
      transpose8(r);
#pragma GCC unroll 8
      for (int row = 0; row < 8; ++row) _mm256_storeu_ps(dst + (j + row) * dst_stride + i, r[row]);
    }
  }
}

template <int kRows>
QE_INLINE void interleave(const float* src, int64_t stride, float* dst) {
  static_assert(kRows <= 8);
  for (int k = 0; k < 16; k += 8) {
    __m256 r[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      r[i] = i < kRows ? _mm256_loadu_ps(src + i * stride + k) : _mm256_setzero_ps();
    }
    transpose8(r);
    // Each store's tail is overwritten by the next one.
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) _mm256_storeu_ps(dst + (k + i) * kRows, r[i]);
  }
}

// Values are looked up byte by byte: pshufb takes byte b of all of them from plane b.
struct NibbleTable {
  __m256i plane[4];  // 16 bytes, twice
};
QE_INLINE NibbleTable load_nibble_table(const float* p) {
  uint8_t plane[4][16];
  for (int i = 0; i < 16; ++i) {
    uint32_t value;
    __builtin_memcpy(&value, p + i, sizeof value);
    for (int b = 0; b < 4; ++b) plane[b][i] = static_cast<uint8_t>(value >> (8 * b));
  }
  NibbleTable table;
  for (int b = 0; b < 4; ++b) {
    table.plane[b] =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(plane[b])));
  }
  return table;
}
// The order that interleaving planes inside 128-bit lanes turns into 0 .. 15: a lane of `codes`
// holds lanes 0-3 8-11 of a, then of b; the other one 4-7 12-15.
QE_INLINE void lookup_codes(const NibbleTable& table, __m256i codes, Vec& a, Vec& b) {
  const __m256i p0 = _mm256_shuffle_epi8(table.plane[0], codes);
  const __m256i p1 = _mm256_shuffle_epi8(table.plane[1], codes);
  const __m256i p2 = _mm256_shuffle_epi8(table.plane[2], codes);
  const __m256i p3 = _mm256_shuffle_epi8(table.plane[3], codes);
  const __m256i a01 = _mm256_unpacklo_epi8(p0, p1), a23 = _mm256_unpacklo_epi8(p2, p3);
  const __m256i b01 = _mm256_unpackhi_epi8(p0, p1), b23 = _mm256_unpackhi_epi8(p2, p3);
  a = {_mm256_castsi256_ps(_mm256_unpacklo_epi16(a01, a23)),
       _mm256_castsi256_ps(_mm256_unpackhi_epi16(a01, a23))};
  b = {_mm256_castsi256_ps(_mm256_unpacklo_epi16(b01, b23)),
       _mm256_castsi256_ps(_mm256_unpackhi_epi16(b01, b23))};
}
QE_INLINE __m128i load_bytes8(const uint8_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}
QE_INLINE void lookup_pair(const NibbleTable& table, const uint8_t* p, const uint8_t* q, Vec& a,
                           Vec& b) {
  const __m256i both =
      _mm256_broadcastsi128_si256(_mm_unpacklo_epi64(load_bytes8(p), load_bytes8(q)));
  const __m256i order = _mm256_setr_epi8(0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13, 2, 2,
                                         3, 3, 6, 6, 7, 7, 10, 10, 11, 11, 14, 14, 15, 15);
  const __m256i twice = _mm256_shuffle_epi8(both, order);
  const __m256i high = _mm256_and_si256(_mm256_srli_epi16(twice, 4), _mm256_set1_epi16(0x000f));
  const __m256i low = _mm256_and_si256(twice, _mm256_set1_epi16(0x0f00));
  lookup_codes(table, _mm256_or_si256(high, low), a, b);
}
template <class Emit>
QE_INLINE void lookup_columns(const NibbleTable& table, const uint8_t* p, int64_t stride,
                              Emit emit) {
  // Eight bytes of rows 0-3 8-11 in the lower lane, of rows 4-7 12-15 in the upper one.
  const auto rows = [&](int i) {
    const uint8_t* lower = p + (i < 4 ? i : i + 4) * stride;
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_bytes8(lower)),
                                   load_bytes8(lower + 4 * stride), 1);
  };
  const __m256i r01 = _mm256_unpacklo_epi8(rows(0), rows(1));
  const __m256i r23 = _mm256_unpacklo_epi8(rows(2), rows(3));
  const __m256i r45 = _mm256_unpacklo_epi8(rows(4), rows(5));
  const __m256i r67 = _mm256_unpacklo_epi8(rows(6), rows(7));
  const __m256i low03 = _mm256_unpacklo_epi16(r01, r23), low47 = _mm256_unpacklo_epi16(r45, r67);
  const __m256i high03 = _mm256_unpackhi_epi16(r01, r23), high47 = _mm256_unpackhi_epi16(r45, r67);
  // Bytes 2j and 2j + 1 of all rows.
  const __m256i bytes[4] = {
      _mm256_unpacklo_epi32(low03, low47), _mm256_unpackhi_epi32(low03, low47),
      _mm256_unpacklo_epi32(high03, high47), _mm256_unpackhi_epi32(high03, high47)};
  const __m256i mask = _mm256_set1_epi8(15);
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    Vec first, second, third, fourth;
    lookup_codes(table, _mm256_and_si256(_mm256_srli_epi16(bytes[j], 4), mask), first, third);
    lookup_codes(table, _mm256_and_si256(bytes[j], mask), second, fourth);
    emit(4 * j, first);
    emit(4 * j + 1, second);
    emit(4 * j + 2, third);
    emit(4 * j + 3, fourth);
  }
}

}  // namespace qe::cpu::QE_ISA
