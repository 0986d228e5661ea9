// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Elementary functions over Vec: polynomials of ours, so that the bits depend neither on the
// instruction set nor on a libm. Coefficients are minimax fits (Lawson iteration in extended
// precision), rounded to fp32 one after the other, the rest refitted each time.
//
// Largest errors against the exact value, over all finite fp32 inputs (tests/kernels/simd_test.cpp
// holds them on a dense grid):
//   exp      1.0 ulp     -inf -> 0, too large -> inf, subnormal results rounded once
//   log      1.0 ulp     0 -> -inf, inf -> inf, negative -> NaN
//   erf      1.1 ulp
//   tanh     1.4 ulp
//   logistic 2.7 ulp     1 / (1 + exp(-x))
// NaN gives NaN (of unspecified payload: the one thing that may differ between instruction sets).

#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {

/// c[0] + c[1] x + ... by Horner's rule.
template <int N>
QE_INLINE Vec polynomial(Vec x, const float (&c)[N]) {
  Vec sum = set(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) sum = fma(sum, x, set(c[i]));
  return sum;
}

/// a with the sign of b; a is not negative.
QE_INLINE Vec with_sign(Vec a, Vec b) {
  return as_float(bits(a) | (bits(b) & set_int(0x80000000u)));
}

QE_INLINE Vec exp(Vec x) {
  // (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2.
  constexpr float kQ[] = {0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558b4p-5f, 0x1.12399ep-7f,
                          0x1.6a4930p-10f};
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the integer in the low bits
  // Beyond these the result is 0 or infinity anyway. NaN passes.
  x = min(set(89.0f), max(set(-104.0f), x));
  const Vec shifted = fma(x, set(0x1.715476p0f), set(kRound));
  const Vec n = shifted - set(kRound);
  Vec r = fnma(n, set(0x1.62e4p-1f), x);
  r = fnma(n, set(0x1.7f7d1cp-20f), r);
  const Vec p = fma(polynomial(r, kQ), r * r, r) + set(1.0f);
  // 2^n in two factors: the first product is exact, the second one rounds (once) or overflows.
  const Int biased = bits(shifted) - set_int(0x4b400000u - 1024u);  // n + 1024
  const Int half = shr<1>(biased);                                  // floor(n / 2) + 512
  const Int rest = biased - half;                                   // n - floor(n / 2) + 512
  const Int bias = set_int(512u - 127u);
  return p * as_float(shl<23>(half - bias)) * as_float(shl<23>(rest - bias));
}

QE_INLINE Vec log(Vec x) {
  // (log(1 + f) - f + f^2 / 2) / f^3 on sqrt(1/2) <= 1 + f < sqrt(2).
  constexpr float kQ[] = {0x1.555554p-2f, -0x1.000228p-2f, 0x1.99a028p-3f, -0x1.54720cp-3f,
                          0x1.22d790p-3f, -0x1.0d8548p-3f, 0x1.056c38p-3f, -0x1.38dca2p-4f};
  const Mask tiny = less(x, set(0x1p-126f));
  const Int b = bits(select(tiny, x * set(0x1p24f), x));
  // Moves the cut between powers of two from 1 to sqrt(1/2).
  const Int moved = b - set_int(0x3f3504f3u);
  const Int exponent = shr<23>(moved + set_int(0x40000000u)) - set_int(128u);
  const Vec m = as_float(b - shl<23>(exponent));
  const Vec e = to_float(exponent) - select(tiny, set(24.0f), zero());
  const Vec f = m - set(1.0f);
  const Vec f2 = f * f;
  Vec y = polynomial(f, kQ) * (f * f2);
  y = fma(e, set(0x1.7f7d1cp-20f), y);
  y = fnma(f2, set(0.5f), y);
  y = fma(e, set(0x1.62e4p-1f), f + y);
  const Vec infinity = as_float(set_int(0x7f800000u));
  y = select(equal(x, infinity), infinity, y);
  y = select(equal(x, zero()), -infinity, y);
  const Vec nan = as_float(set_int(0x7fc00000u));
  return select(less_equal(zero(), x), y, nan);
}

QE_INLINE Vec erf(Vec x) {
  constexpr float kSplit = 0.9375f;
  // erf(x) / x - 1 in x^2, up to kSplit.
  constexpr float kSmall[] = {0x1.06eba8p-3f, -0x1.812740p-2f,  0x1.ce2d64p-4f, -0x1.b80120p-6f,
                              0x1.544aa8p-8f, -0x1.a6126ep-11f, 0x1.4f8e58p-14f};
  // log(1 - erf(t)) / t from there to 4, where erf rounds to 1.
  constexpr float kLarge[] = {-0x1.20e998p+0f, -0x1.45690cp-1f, -0x1.af9e12p-4f, 0x1.756f0ap-6f,
                              -0x1.89a1cap-9f, 0x1.3e9c8ep-14f, 0x1.530272p-15f, -0x1.2ef822p-18f};
  const Vec t = min(set(4.0f), abs(x));
  const Vec small = fma(polynomial(x * x, kSmall), x, x);
  const Vec large = with_sign(set(1.0f) - exp(t * polynomial(t, kLarge)), x);
  return select(less(t, set(kSplit)), small, large);
}

QE_INLINE Vec tanh(Vec x) {
  constexpr float kSplit = 0.625f;
  // (tanh(x) / x - 1) / x^2 in x^2, up to kSplit.
  constexpr float kSmall[] = {-0x1.555532p-2f, 0x1.1106f6p-3f, -0x1.b835a4p-5f, 0x1.51f8cep-6f,
                              -0x1.750ce2p-8f};
  const Vec t = abs(x);
  const Vec s = x * x;
  const Vec small = fma(polynomial(s, kSmall), s * t, t);
  // Infinite exp gives 1.
  const Vec large = set(1.0f) - set(2.0f) / (exp(t + t) + set(1.0f));
  return with_sign(select(less(t, set(kSplit)), small, large), x);
}

/// 1 / (1 + e^-x).
QE_INLINE Vec logistic(Vec x) {
  const Vec e = exp(-abs(x));
  const Vec r = set(1.0f) / (set(1.0f) + e);
  return select(less(x, zero()), e * r, r);
}

}  // namespace qe::cpu::QE_ISA
