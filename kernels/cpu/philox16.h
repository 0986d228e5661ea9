// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Philox4x32-10 (kernels/core/philox.h) for 16 counters at a time.

#include "kernels/core/philox.h"
#include "kernels/cpu/simd.h"

namespace qe::cpu::QE_ISA {

/// Word w of counter i is lane i of the w-th member.
struct Philox16 {
  Int x, y, z, w;
};

QE_INLINE Philox16 philox16(PhiloxKey key, Philox16 c) {
  const Int m0 = set_int(0xD2511F53u);
  const Int m1 = set_int(0xCD9E8D57u);
  for (int round = 0; round < 10; ++round) {
    c = Philox16{mul_high(m1, c.z) ^ c.y ^ set_int(key.k0), mul_low(m1, c.z),
                 mul_high(m0, c.x) ^ c.w ^ set_int(key.k1), mul_low(m0, c.x)};
    key.k0 += 0x9E3779B9u;
    key.k1 += 0xBB67AE85u;
  }
  return c;
}

/// What a kept or dropped element is multiplied by: `scale`, or 0 where word < threshold.
QE_INLINE Vec keep_scale(Int word, uint32_t threshold, float scale) {
  return select(less_int(word, set_int(threshold)), zero(), set(scale));
}
/// x * scale, and exactly 0 where scale is 0, whatever x is.
QE_INLINE Vec drop(Vec x, Vec scale) { return select(equal(scale, zero()), zero(), x * scale); }

}  // namespace qe::cpu::QE_ISA
