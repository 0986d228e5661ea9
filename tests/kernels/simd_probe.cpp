// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set, as kernels/cpu/simd.h describes.

#include "tests/kernels/simd_probe.h"

#include "kernels/cpu/vecmath.h"

namespace qe::cpu::QE_ISA {
namespace {

Vec compute(Probe op, Vec a, Vec b, Vec c) {
  const Vec one = set(1.0f);
  switch (op) {
    case Probe::kAdd:
      return a + b;
    case Probe::kSub:
      return a - b;
    case Probe::kMul:
      return a * b;
    case Probe::kDiv:
      return a / b;
    case Probe::kFma:
      return fma(a, b, c);
    case Probe::kFnma:
      return fnma(a, b, c);
    case Probe::kSqrt:
      return sqrt(a);
    case Probe::kMin:
      return min(a, b);
    case Probe::kMax:
      return max(a, b);
    case Probe::kSelectLess:
      return select(less(a, b), c, one);
    case Probe::kSelectLessEqual:
      return select(less_equal(a, b), c, one);
    case Probe::kSelectEqual:
      return select(mask_or(equal(a, b), mask_and(less(a, b), less(b, c))), c, one);
    case Probe::kRoundF16:
      return round_f16(a);
    case Probe::kRoundBf16:
      return round_bf16(a);
    case Probe::kAbs:
      return abs(a);
    case Probe::kNegate:
      return -a;
    case Probe::kExp:
      return exp(a);
    case Probe::kLog:
      return log(a);
    case Probe::kErf:
      return erf(a);
    case Probe::kTanh:
      return tanh(a);
    case Probe::kLogistic:
      return logistic(a);
    case Probe::kIntAdd:
      return as_float(bits(a) + bits(b));
    case Probe::kIntSub:
      return as_float(bits(a) - bits(b));
    case Probe::kIntAnd:
      return as_float(bits(a) & bits(b));
    case Probe::kIntOr:
      return as_float(bits(a) | bits(b));
    case Probe::kIntXor:
      return as_float(bits(a) ^ bits(b));
    case Probe::kMulLow:
      return as_float(mul_low(bits(a), bits(b)));
    case Probe::kMulHigh:
      return as_float(mul_high(bits(a), bits(b)));
    case Probe::kShiftLeft:
      return as_float(shl<5>(bits(a)));
    case Probe::kShiftRight:
      return as_float(shr<7>(bits(a)));
    case Probe::kLessInt:
      return as_float(truth_int(less_int(bits(a), bits(b))));
    case Probe::kEqualInt:
      return as_float(truth_int(equal_int(bits(a), bits(b))));
    case Probe::kToFloat:
      return to_float(bits(a));
    case Probe::kNotFinite:
      return as_float(set_int(mask_bits(not_finite(a))));
    case Probe::kCount:
      break;
  }
  return zero();
}

}  // namespace

void simd_probe(Probe op, const float* a, const float* b, const float* c, float* out) {
  store(out, compute(op, load(a), load(b), load(c)));
}
void simd_probe_all(Probe op, const float* a, float* out, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) store(out + i, compute(op, load(a + i), zero(), zero()));
}
float simd_reduce_add(const float* a) { return reduce_add(load(a)); }
float simd_reduce_max(const float* a) { return reduce_max(load(a)); }
void simd_load_f16(const uint16_t* a, float* out) { store(out, load_f16(a)); }
void simd_load_bf16(const uint16_t* a, float* out) { store(out, load_bf16(a)); }
void simd_load_first(const float* a, int64_t n, float* out) { store(out, load_first(a, n)); }
void simd_store_first(const float* a, int64_t n, float* out) { store_first(out, load(a), n); }
void simd_transpose(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  transpose16(src, src_stride, dst, dst_stride);
}
void simd_interleave6(const float* src, int64_t stride, float* dst) {
  interleave<6>(src, stride, dst);
}
void simd_lookup_pair(const float* table, const uint8_t* p, const uint8_t* q, float* out) {
  Vec a, b;
  lookup_pair(load_nibble_table(table), p, q, a, b);
  store(out, a);
  store(out + kLanes, b);
}
void simd_lookup_columns(const float* table, const uint8_t* p, int64_t stride, float* out) {
  lookup_columns(load_nibble_table(table), p, stride,
                 [=](int k, Vec value) { store(out + kLanes * k, value); });
}

}  // namespace qe::cpu::QE_ISA
