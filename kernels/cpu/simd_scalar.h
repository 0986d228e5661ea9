// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The plain form of simd.h, included by it: arrays of 16, no instructions beyond the baseline.
// fmaf is exactly rounded by definition, in hardware or in software.

#include <cstdint>
#include <cstring>

#include "kernels/core/dtype.h"

namespace qe::cpu::QE_ISA {

struct Vec {
  float lane[16];
};
struct Int {
  uint32_t lane[16];
};
struct Mask {
  uint32_t lane[16];  // 0 or all ones
};

namespace scalar_detail {

template <class Out, class F>
QE_INLINE Out each(F f) {
  Out out;
  for (int i = 0; i < 16; ++i) out.lane[i] = f(i);
  return out;
}
QE_INLINE uint32_t truth(bool value) { return value ? 0xffffffffu : 0u; }

}  // namespace scalar_detail

using scalar_detail::each;
using scalar_detail::truth;

QE_INLINE Vec set(float x) {
  return each<Vec>([=](int) { return x; });
}
QE_INLINE Vec zero() { return set(0.0f); }
QE_INLINE Vec load(const float* p) {
  Vec v;
  std::memcpy(v.lane, p, sizeof v.lane);
  return v;
}
QE_INLINE void store(float* p, Vec v) { std::memcpy(p, v.lane, sizeof v.lane); }
QE_INLINE Vec load_first(const float* p, int64_t n) {
  float lanes[16] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
QE_INLINE void store_first(float* p, Vec v, int64_t n) {
  float lanes[16];
  store(lanes, v);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}
QE_INLINE Vec load_f16(const uint16_t* p) {
  return each<Vec>([=](int i) { return from_f16(p[i]); });
}
QE_INLINE Vec load_bf16(const uint16_t* p) {
  return each<Vec>([=](int i) { return from_bf16(p[i]); });
}

QE_INLINE Vec operator+(Vec a, Vec b) {
  return each<Vec>([&](int i) { return a.lane[i] + b.lane[i]; });
}
QE_INLINE Vec operator-(Vec a, Vec b) {
  return each<Vec>([&](int i) { return a.lane[i] - b.lane[i]; });
}
QE_INLINE Vec operator*(Vec a, Vec b) {
  return each<Vec>([&](int i) { return a.lane[i] * b.lane[i]; });
}
QE_INLINE Vec operator/(Vec a, Vec b) {
  return each<Vec>([&](int i) { return a.lane[i] / b.lane[i]; });
}
QE_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return each<Vec>([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
QE_INLINE Vec fnma(Vec a, Vec b, Vec c) {
  return each<Vec>([&](int i) { return __builtin_fmaf(-a.lane[i], b.lane[i], c.lane[i]); });
}
QE_INLINE Vec sqrt(Vec a) {
  return each<Vec>([&](int i) { return __builtin_sqrtf(a.lane[i]); });
}
QE_INLINE Vec min(Vec a, Vec b) {
  return each<Vec>([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
QE_INLINE Vec max(Vec a, Vec b) {
  return each<Vec>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}

QE_INLINE Mask less(Vec a, Vec b) {
  return each<Mask>([&](int i) { return truth(a.lane[i] < b.lane[i]); });
}
QE_INLINE Mask less_equal(Vec a, Vec b) {
  return each<Mask>([&](int i) { return truth(a.lane[i] <= b.lane[i]); });
}
QE_INLINE Mask equal(Vec a, Vec b) {
  return each<Mask>([&](int i) { return truth(a.lane[i] == b.lane[i]); });
}
QE_INLINE Vec select(Mask m, Vec a, Vec b) {
  return each<Vec>([&](int i) { return m.lane[i] != 0 ? a.lane[i] : b.lane[i]; });
}
QE_INLINE Mask mask_and(Mask a, Mask b) {
  return each<Mask>([&](int i) { return a.lane[i] & b.lane[i]; });
}
QE_INLINE Mask mask_or(Mask a, Mask b) {
  return each<Mask>([&](int i) { return a.lane[i] | b.lane[i]; });
}
QE_INLINE uint32_t mask_bits(Mask m) {
  uint32_t all = 0;
  for (int i = 0; i < 16; ++i) all |= (m.lane[i] & 1u) << i;
  return all;
}

QE_INLINE Int set_int(uint32_t x) {
  return each<Int>([=](int) { return x; });
}
QE_INLINE Int load_int(const uint32_t* p) {
  Int v;
  std::memcpy(v.lane, p, sizeof v.lane);
  return v;
}
QE_INLINE void store_int(uint32_t* p, Int v) { std::memcpy(p, v.lane, sizeof v.lane); }
QE_INLINE Int operator+(Int a, Int b) {
  return each<Int>([&](int i) { return a.lane[i] + b.lane[i]; });
}
QE_INLINE Int operator-(Int a, Int b) {
  return each<Int>([&](int i) { return a.lane[i] - b.lane[i]; });
}
QE_INLINE Int operator&(Int a, Int b) {
  return each<Int>([&](int i) { return a.lane[i] & b.lane[i]; });
}
QE_INLINE Int operator|(Int a, Int b) {
  return each<Int>([&](int i) { return a.lane[i] | b.lane[i]; });
}
QE_INLINE Int operator^(Int a, Int b) {
  return each<Int>([&](int i) { return a.lane[i] ^ b.lane[i]; });
}
template <int N>
QE_INLINE Int shl(Int a) {
  return each<Int>([&](int i) { return a.lane[i] << N; });
}
template <int N>
QE_INLINE Int shr(Int a) {
  return each<Int>([&](int i) { return a.lane[i] >> N; });
}
QE_INLINE Int mul_low(Int a, Int b) {
  return each<Int>([&](int i) { return a.lane[i] * b.lane[i]; });
}
QE_INLINE Int mul_high(Int a, Int b) {
  return each<Int>(
      [&](int i) { return static_cast<uint32_t>(uint64_t{a.lane[i]} * b.lane[i] >> 32); });
}
QE_INLINE Mask less_int(Int a, Int b) {
  return each<Mask>([&](int i) { return truth(a.lane[i] < b.lane[i]); });
}
QE_INLINE Mask equal_int(Int a, Int b) {
  return each<Mask>([&](int i) { return truth(a.lane[i] == b.lane[i]); });
}
QE_INLINE Int truth_int(Mask m) {
  return each<Int>([&](int i) { return m.lane[i]; });
}
QE_INLINE Int bits(Vec a) {
  Int v;
  std::memcpy(v.lane, a.lane, sizeof v.lane);
  return v;
}
QE_INLINE Vec as_float(Int a) {
  Vec v;
  std::memcpy(v.lane, a.lane, sizeof v.lane);
  return v;
}
QE_INLINE Vec to_float(Int a) {
  return each<Vec>([&](int i) { return static_cast<float>(static_cast<int32_t>(a.lane[i])); });
}

QE_INLINE Vec round_f16(Vec a) {
  return each<Vec>([&](int i) { return from_f16(to_f16(a.lane[i])); });
}

QE_INLINE float reduce_add(Vec a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.lane[i] = a.lane[i] + a.lane[i + half];
  }
  return a.lane[0];
}
QE_INLINE float reduce_max(Vec a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      a.lane[i] = a.lane[i] > a.lane[i + half] ? a.lane[i] : a.lane[i + half];
    }
  }
  return a.lane[0];
}

/// dst[j * dst_stride + i] = src[i * src_stride + j] for i, j < 16.
QE_INLINE void transpose16(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) dst[j * dst_stride + i] = src[i * src_stride + j];
  }
}

template <int kRows>
QE_INLINE void interleave(const float* src, int64_t stride, float* dst) {
  for (int i = 0; i < kRows; ++i) {
    for (int k = 0; k < 16; ++k) dst[k * kRows + i] = src[i * stride + k];
  }
}

struct NibbleTable {
  float value[16];
};
QE_INLINE NibbleTable load_nibble_table(const float* p) {
  NibbleTable table;
  std::memcpy(table.value, p, sizeof table.value);
  return table;
}
QE_INLINE float nibble_value(const NibbleTable& table, const uint8_t* p, int k) {
  return table.value[k % 2 == 0 ? p[k / 2] >> 4 : p[k / 2] & 15];
}
QE_INLINE void lookup_pair(const NibbleTable& table, const uint8_t* p, const uint8_t* q, Vec& a,
                           Vec& b) {
  a = each<Vec>([&](int k) { return nibble_value(table, p, k); });
  b = each<Vec>([&](int k) { return nibble_value(table, q, k); });
}
template <class Emit>
QE_INLINE void lookup_columns(const NibbleTable& table, const uint8_t* p, int64_t stride,
                              Emit emit) {
  for (int k = 0; k < 16; ++k) {
    emit(k, each<Vec>([&](int i) { return nibble_value(table, p + i * stride, k); }));
  }
}

}  // namespace qe::cpu::QE_ISA
