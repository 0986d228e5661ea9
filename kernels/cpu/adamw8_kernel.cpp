// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/adamw8_kernel.h"

#include "kernels/core/quant_codebook.h"
#include "kernels/cpu/lane_loop.h"

namespace qe::cpu::QE_ISA {
namespace {

constexpr int64_t kBlock = 256;

// The moments as fp32, decoded. Short blocks are filled up with zeros, so that loops run over whole
// vectors.
QE_INLINE void decode(const DynamicMap& map, const uint8_t* codes, float scale, int64_t count,
                      float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = map.value[codes[i]] * scale;
  for (int64_t i = count; i % kLanes != 0; ++i) out[i] = 0.0f;
}

// How many thresholds lie below x: a binary search without branches.
QE_INLINE uint32_t code_of(const DynamicMap& map, float x) {
  uint32_t n = 0;
  for (uint32_t step = 128; step > 0; step /= 2) {
    n += map.threshold[n + step - 1] < x ? step : 0;
  }
  return n;
}

// All-zero blocks: any code decodes to 0; they get the code of 0.
QE_INLINE void scaled(const float* values, float scale, float* out) {
  const Vec x = load(values) / set(scale);
  store(out, scale == 0.0f ? zero() : x);
}

}  // namespace

void adamw8_block(const Adamw8Elements& args) {
  const AdamwConstants& c = args.constants;
  alignas(64) float m_of[kBlock];
  alignas(64) float v_of[kBlock];
  decode(kSignedDynamicMap, args.m, *args.m_scale, args.count, m_of);
  decode(kUnsignedDynamicMap, args.v, *args.v_scale, args.count, v_of);
  Vec largest_m = zero();
  Vec largest_v = zero();
  for_lanes(args.count, [&](int64_t i, auto part) {
    const Vec raw = load(args.g + i, part);
    const Mask bad = not_finite(raw);
    const Vec g = raw * set(c.gradient_scale);
    const Vec m =
        select(bad, zero(), fma(set(c.beta1), load(m_of + i), set(c.one_minus_beta1) * g));
    const Vec v =
        select(bad, zero(), fma(set(c.beta2), load(v_of + i), set(c.one_minus_beta2) * g * g));
    store(m_of + i, m);
    store(v_of + i, v);
    largest_m = max(largest_m, abs(m));
    largest_v = max(largest_v, v);
    const Vec denominator = fma(sqrt(v), set(c.root_scale), set(c.epsilon));
    const Vec before = load(args.p + i, part);
    const Vec after =
        fnma(set(c.step_size), m / denominator, before * set(c.before)) * set(c.after);
    store(args.p + i, select(bad, before, after), part);
  });
  *args.m_scale = reduce_max(largest_m);
  *args.v_scale = reduce_max(largest_v);
  for (int64_t i = 0; i < args.count; i += kLanes) {
    float m[kLanes], v[kLanes];
    scaled(m_of + i, *args.m_scale, m);
    scaled(v_of + i, *args.v_scale, v);
    for (int64_t j = 0; j < kLanes && i + j < args.count; ++j) {
      const uint32_t code = code_of(kSignedDynamicMap, m[j]);
      // A step downhill stays one: below 0 there is no rounding to 0 (code 127).
      args.m[i + j] = static_cast<uint8_t>(m[j] < 0.0f && code > 126 ? 126 : code);
      args.v[i + j] = static_cast<uint8_t>(code_of(kUnsignedDynamicMap, v[j]));
    }
  }
}

}  // namespace qe::cpu::QE_ISA
