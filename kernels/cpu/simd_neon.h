// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The NEON (AArch64) form of simd.h, included by it: four 4-lane registers.

#include <arm_neon.h>

#include <cstdint>

#define QE_SIMD_NEON

namespace qe::cpu::QE_ISA {

struct Vec {
  float32x4_t v[4];
};
struct Int {
  uint32x4_t v[4];
};
struct Mask {
  uint32x4_t v[4];
};

template <class Out, class F>
QE_INLINE Out each(F f) {
  return Out{{f(0), f(1), f(2), f(3)}};
}

QE_INLINE Vec set(float x) {
  return each<Vec>([=](int) { return vdupq_n_f32(x); });
}
QE_INLINE Vec zero() { return set(0.0f); }
QE_INLINE Vec load(const float* p) {
  return each<Vec>([=](int i) { return vld1q_f32(p + 4 * i); });
}
QE_INLINE void store(float* p, Vec a) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
}
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
  return each<Vec>([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
QE_INLINE Vec load_bf16(const uint16_t* p) {
  return each<Vec>(
      [=](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
}

QE_INLINE Vec operator+(Vec a, Vec b) {
  return each<Vec>([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
QE_INLINE Vec operator-(Vec a, Vec b) {
  return each<Vec>([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
QE_INLINE Vec operator*(Vec a, Vec b) {
  return each<Vec>([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
QE_INLINE Vec operator/(Vec a, Vec b) {
  return each<Vec>([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
QE_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return each<Vec>([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
QE_INLINE Vec fnma(Vec a, Vec b, Vec c) {
  return each<Vec>([&](int i) { return vfmsq_f32(c.v[i], a.v[i], b.v[i]); });
}
QE_INLINE Vec sqrt(Vec a) {
  return each<Vec>([&](int i) { return vsqrtq_f32(a.v[i]); });
}
// vminq and vmaxq treat NaN and signed zeros in another way.
QE_INLINE Vec min(Vec a, Vec b) {
  return each<Vec>([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
}
QE_INLINE Vec max(Vec a, Vec b) {
  return each<Vec>([&](int i) { return vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
}

QE_INLINE Mask less(Vec a, Vec b) {
  return each<Mask>([&](int i) { return vcltq_f32(a.v[i], b.v[i]); });
}
QE_INLINE Mask less_equal(Vec a, Vec b) {
  return each<Mask>([&](int i) { return vcleq_f32(a.v[i], b.v[i]); });
}
QE_INLINE Mask equal(Vec a, Vec b) {
  return each<Mask>([&](int i) { return vceqq_f32(a.v[i], b.v[i]); });
}
QE_INLINE Vec select(Mask m, Vec a, Vec b) {
  return each<Vec>([&](int i) { return vbslq_f32(m.v[i], a.v[i], b.v[i]); });
}
QE_INLINE Mask mask_and(Mask a, Mask b) {
  return each<Mask>([&](int i) { return vandq_u32(a.v[i], b.v[i]); });
}
QE_INLINE Mask mask_or(Mask a, Mask b) {
  return each<Mask>([&](int i) { return vorrq_u32(a.v[i], b.v[i]); });
}
QE_INLINE uint32_t mask_bits(Mask m) {
  const uint32_t weight[4] = {1, 2, 4, 8};
  uint32_t all = 0;
  for (int i = 0; i < 4; ++i) all |= vaddvq_u32(vandq_u32(m.v[i], vld1q_u32(weight))) << (4 * i);
  return all;
}

QE_INLINE Int set_int(uint32_t x) {
  return each<Int>([=](int) { return vdupq_n_u32(x); });
}
QE_INLINE Int load_int(const uint32_t* p) {
  return each<Int>([=](int i) { return vld1q_u32(p + 4 * i); });
}
QE_INLINE void store_int(uint32_t* p, Int a) {
  for (int i = 0; i < 4; ++i) vst1q_u32(p + 4 * i, a.v[i]);
}
QE_INLINE Int operator+(Int a, Int b) {
  return each<Int>([&](int i) { return vaddq_u32(a.v[i], b.v[i]); });
}
QE_INLINE Int operator-(Int a, Int b) {
  return each<Int>([&](int i) { return vsubq_u32(a.v[i], b.v[i]); });
}
QE_INLINE Int operator&(Int a, Int b) {
  return each<Int>([&](int i) { return vandq_u32(a.v[i], b.v[i]); });
}
QE_INLINE Int operator|(Int a, Int b) {
  return each<Int>([&](int i) { return vorrq_u32(a.v[i], b.v[i]); });
}
QE_INLINE Int operator^(Int a, Int b) {
  return each<Int>([&](int i) { return veorq_u32(a.v[i], b.v[i]); });
}
template <int N>
QE_INLINE Int shl(Int a) {
  return each<Int>([&](int i) { return vshlq_n_u32(a.v[i], N); });
}
template <int N>
QE_INLINE Int shr(Int a) {
  return each<Int>([&](int i) { return vshrq_n_u32(a.v[i], N); });
}
QE_INLINE Int mul_low(Int a, Int b) {
  return each<Int>([&](int i) { return vmulq_u32(a.v[i], b.v[i]); });
}
QE_INLINE Int mul_high(Int a, Int b) {
  return each<Int>([&](int i) {
    const uint64x2_t low = vmull_u32(vget_low_u32(a.v[i]), vget_low_u32(b.v[i]));
    const uint64x2_t high = vmull_high_u32(a.v[i], b.v[i]);
    return vuzp2q_u32(vreinterpretq_u32_u64(low), vreinterpretq_u32_u64(high));
  });
}
QE_INLINE Mask less_int(Int a, Int b) {
  return each<Mask>([&](int i) { return vcltq_u32(a.v[i], b.v[i]); });
}
QE_INLINE Mask equal_int(Int a, Int b) {
  return each<Mask>([&](int i) { return vceqq_u32(a.v[i], b.v[i]); });
}
QE_INLINE Int truth_int(Mask m) { return Int{{m.v[0], m.v[1], m.v[2], m.v[3]}}; }
QE_INLINE Int bits(Vec a) {
  return each<Int>([&](int i) { return vreinterpretq_u32_f32(a.v[i]); });
}
QE_INLINE Vec as_float(Int a) {
  return each<Vec>([&](int i) { return vreinterpretq_f32_u32(a.v[i]); });
}
QE_INLINE Vec to_float(Int a) {
  return each<Vec>([&](int i) { return vcvtq_f32_s32(vreinterpretq_s32_u32(a.v[i])); });
}

QE_INLINE Vec round_f16(Vec a) {
  return each<Vec>([&](int i) { return vcvt_f32_f16(vcvt_f16_f32(a.v[i])); });
}

QE_INLINE float reduce_add(Vec a) {
  const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
QE_INLINE float32x4_t max4(float32x4_t a, float32x4_t b) {
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}
QE_INLINE float reduce_max(Vec a) {
  float lane[4];
  vst1q_f32(lane, max4(max4(a.v[0], a.v[2]), max4(a.v[1], a.v[3])));
  const float even = lane[0] > lane[2] ? lane[0] : lane[2];
  const float odd = lane[1] > lane[3] ? lane[1] : lane[3];
  return even > odd ? even : odd;
}

/// dst[j * dst_stride + i] = src[i * src_stride + j] for i, j < 16.
QE_INLINE void transpose16(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 16; j += 4) {
      const float* from = src + i * src_stride + j;
      float* to = dst + j * dst_stride + i;
      const float32x4_t r0 = vld1q_f32(from), r1 = vld1q_f32(from + src_stride);
      const float32x4_t r2 = vld1q_f32(from + 2 * src_stride),
                        r3 = vld1q_f32(from + 3 * src_stride);
      const float32x4x2_t p01 = vtrnq_f32(r0, r1), p23 = vtrnq_f32(r2, r3);
      for (int c = 0; c < 2; ++c) {
        vst1q_f32(to + c * dst_stride,
                  vcombine_f32(vget_low_f32(p01.val[c]), vget_low_f32(p23.val[c])));
        vst1q_f32(to + (c + 2) * dst_stride,
                  vcombine_f32(vget_high_f32(p01.val[c]), vget_high_f32(p23.val[c])));
      }
    }
  }
}

template <int kRows>
QE_INLINE void interleave(const float* src, int64_t stride, float* dst) {
  for (int i = 0; i < kRows; ++i) {
    for (int k = 0; k < 16; ++k) dst[k * kRows + i] = src[i * stride + k];
  }
}

struct NibbleTable {
  uint8x16x4_t bytes;  // byte b of value e at 4e + b
};
QE_INLINE NibbleTable load_nibble_table(const float* p) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(p);
  return {{{vld1q_u8(bytes), vld1q_u8(bytes + 16), vld1q_u8(bytes + 32), vld1q_u8(bytes + 48)}}};
}
QE_INLINE Vec lookup_nibbles(const NibbleTable& table, const uint8_t* p) {
  const uint8x8_t bytes = vld1_u8(p);
  const uint8x8x2_t pairs = vzip_u8(vshr_n_u8(bytes, 4), vand_u8(bytes, vdup_n_u8(15)));
  return each<Vec>([&](int i) {
    const uint16x8_t wide = vmovl_u8(pairs.val[i / 2]);
    const uint32x4_t entry = vmovl_u16(i % 2 == 0 ? vget_low_u16(wide) : vget_high_u16(wide));
    const uint32x4_t at = vmlaq_u32(vdupq_n_u32(0x03020100u), entry, vdupq_n_u32(0x04040404u));
    return vreinterpretq_f32_u8(vqtbl4q_u8(table.bytes, vreinterpretq_u8_u32(at)));
  });
}
QE_INLINE void lookup_pair(const NibbleTable& table, const uint8_t* p, const uint8_t* q, Vec& a,
                           Vec& b) {
  a = lookup_nibbles(table, p);
  b = lookup_nibbles(table, q);
}
template <class Emit>
QE_INLINE void lookup_columns(const NibbleTable& table, const uint8_t* p, int64_t stride,
                              Emit emit) {
  float rows[256], columns[256];
  for (int i = 0; i < 16; ++i) store(rows + 16 * i, lookup_nibbles(table, p + i * stride));
  transpose16(rows, 16, columns, 16);
  for (int k = 0; k < 16; ++k) emit(k, load(columns + 16 * k));
}

}  // namespace qe::cpu::QE_ISA
