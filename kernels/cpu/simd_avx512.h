// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The AVX-512 form of simd.h, included by it: one 16-lane register.

#include <immintrin.h>

#include <cstdint>

namespace qe::cpu::QE_ISA {

struct Vec {
  __m512 v;
};
struct Int {
  __m512i v;
};
struct Mask {
  __mmask16 v;
};

QE_INLINE Vec set(float x) { return {_mm512_set1_ps(x)}; }
QE_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
QE_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
QE_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v.v); }
QE_INLINE __mmask16 first_mask(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
QE_INLINE Vec load_first(const float* p, int64_t n) {
  return {_mm512_maskz_loadu_ps(first_mask(n), p)};
}
QE_INLINE void store_first(float* p, Vec v, int64_t n) {
  _mm512_mask_storeu_ps(p, first_mask(n), v.v);
}
QE_INLINE Vec load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
QE_INLINE Vec load_bf16(const uint16_t* p) {
  const __m512i wide =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

QE_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
QE_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
QE_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
QE_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
QE_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
QE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
QE_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
QE_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
QE_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }

QE_INLINE Mask less(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
QE_INLINE Mask less_equal(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
QE_INLINE Mask equal(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
QE_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.v, b.v, a.v)}; }
QE_INLINE Mask mask_and(Mask a, Mask b) { return {static_cast<__mmask16>(a.v & b.v)}; }
QE_INLINE Mask mask_or(Mask a, Mask b) { return {static_cast<__mmask16>(a.v | b.v)}; }
QE_INLINE uint32_t mask_bits(Mask m) { return m.v; }

QE_INLINE Int set_int(uint32_t x) { return {_mm512_set1_epi32(static_cast<int>(x))}; }
QE_INLINE Int load_int(const uint32_t* p) { return {_mm512_loadu_si512(p)}; }
QE_INLINE void store_int(uint32_t* p, Int v) { _mm512_storeu_si512(p, v.v); }
QE_INLINE Int operator+(Int a, Int b) { return {_mm512_add_epi32(a.v, b.v)}; }
QE_INLINE Int operator-(Int a, Int b) { return {_mm512_sub_epi32(a.v, b.v)}; }
QE_INLINE Int operator&(Int a, Int b) { return {_mm512_and_si512(a.v, b.v)}; }
QE_INLINE Int operator|(Int a, Int b) { return {_mm512_or_si512(a.v, b.v)}; }
QE_INLINE Int operator^(Int a, Int b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int N>
QE_INLINE Int shl(Int a) {
  return {_mm512_slli_epi32(a.v, N)};
}
template <int N>
QE_INLINE Int shr(Int a) {
  return {_mm512_srli_epi32(a.v, N)};
}
QE_INLINE Int mul_low(Int a, Int b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
QE_INLINE Int mul_high(Int a, Int b) {
  const __m512i even = _mm512_srli_epi64(_mm512_mul_epu32(a.v, b.v), 32);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.v, 32), _mm512_srli_epi64(b.v, 32));
  return {_mm512_mask_blend_epi32(0xaaaa, even, odd)};
}
QE_INLINE Mask less_int(Int a, Int b) { return {_mm512_cmplt_epu32_mask(a.v, b.v)}; }
QE_INLINE Mask equal_int(Int a, Int b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
QE_INLINE Int truth_int(Mask m) { return {_mm512_movm_epi32(m.v)}; }
QE_INLINE Int bits(Vec a) { return {_mm512_castps_si512(a.v)}; }
QE_INLINE Vec as_float(Int a) { return {_mm512_castsi512_ps(a.v)}; }
QE_INLINE Vec to_float(Int a) { return {_mm512_cvtepi32_ps(a.v)}; }

QE_INLINE Vec round_f16(Vec a) {
  return {_mm512_cvtph_ps(_mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT))};
}

QE_INLINE float reduce_add(Vec a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  sum = _mm_add_ss(sum, _mm_movehdup_ps(sum));
  return _mm_cvtss_f32(sum);
}
QE_INLINE float reduce_max(Vec a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 best = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  best = _mm_max_ps(best, _mm_movehl_ps(best, best));
  best = _mm_max_ss(best, _mm_movehdup_ps(best));
  return _mm_cvtss_f32(best);
}

QE_INLINE void transpose16(__m512 (&r)[16]) {
  __m512 pair[16];
  for (int i = 0; i < 16; i += 2) {
    pair[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    pair[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  __m512 quad[16];  // quad[4q + j], 128-bit part p: rows 4q .. 4q + 3 of column 4p + j
  for (int i = 0; i < 16; i += 4) {
    quad[i] = _mm512_shuffle_ps(pair[i], pair[i + 2], 0x44);
    quad[i + 1] = _mm512_shuffle_ps(pair[i], pair[i + 2], 0xee);
    quad[i + 2] = _mm512_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
    quad[i + 3] = _mm512_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
  }
  for (int j = 0; j < 4; ++j) {
    // Parts 0 and 2, then 1 and 3, of the upper eight rows and of the lower eight.
    const __m512 even_low = _mm512_shuffle_f32x4(quad[j], quad[4 + j], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(quad[j], quad[4 + j], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(quad[8 + j], quad[12 + j], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(quad[8 + j], quad[12 + j], 0xdd);
    r[j] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    r[4 + j] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    r[8 + j] = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    r[12 + j] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}
/// dst[j * dst_stride + i] = src[i * src_stride + j] for i, j < 16.
QE_INLINE void transpose16(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  __m512 r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_ps(src + i * src_stride);
  transpose16(r);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_storeu_ps(dst + i * dst_stride, r[i]);
}

template <int kRows>
QE_INLINE void interleave(const float* src, int64_t stride, float* dst) {
  __m512 r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    r[i] = i < kRows ? _mm512_loadu_ps(src + i * stride) : _mm512_setzero_ps();
  }
  transpose16(r);
  // Each store's tail is overwritten by the next one.
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_storeu_ps(dst + i * kRows, r[i]);
}

struct NibbleTable {
  __m512 v;
};
QE_INLINE NibbleTable load_nibble_table(const float* p) { return {_mm512_loadu_ps(p)}; }
QE_INLINE __m128i load_bytes8(const uint8_t* p) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
}
QE_INLINE Vec lookup_nibbles(const NibbleTable& table, const uint8_t* p) {
  // Each byte becomes 16 bits with the high nibble in the low byte.
  const __m128i wide = _mm_cvtepu8_epi16(load_bytes8(p));
  const __m128i nibbles = _mm_or_si128(_mm_srli_epi16(wide, 4), _mm_slli_epi16(wide, 8));
  // vpermps reads the low four bits of an index only.
  return {_mm512_permutexvar_ps(_mm512_cvtepu8_epi32(nibbles), table.v)};
}
QE_INLINE void lookup_pair(const NibbleTable& table, const uint8_t* p, const uint8_t* q, Vec& a,
                           Vec& b) {
  a = lookup_nibbles(table, p);
  b = lookup_nibbles(table, q);
}
template <class Emit>
QE_INLINE void lookup_columns(const NibbleTable& table, const uint8_t* p, int64_t stride,
                              Emit emit) {
  // Eight bytes of rows 0-7 in the lower lane, of rows 8-15 in the upper one.
  const auto rows = [&](int i) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_bytes8(p + i * stride)),
                                   load_bytes8(p + (i + 8) * stride), 1);
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
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m256i ordered = _mm256_permute4x64_epi64(bytes[j], 0xd8);
    const __m512i first = _mm512_cvtepu8_epi32(_mm256_castsi256_si128(ordered));
    const __m512i second = _mm512_cvtepu8_epi32(_mm256_extracti128_si256(ordered, 1));
    emit(4 * j, Vec{_mm512_permutexvar_ps(_mm512_srli_epi32(first, 4), table.v)});
    emit(4 * j + 1, Vec{_mm512_permutexvar_ps(first, table.v)});
    emit(4 * j + 2, Vec{_mm512_permutexvar_ps(_mm512_srli_epi32(second, 4), table.v)});
    emit(4 * j + 3, Vec{_mm512_permutexvar_ps(second, table.v)});
  }
}

}  // namespace qe::cpu::QE_ISA
