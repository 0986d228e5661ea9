// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/noise_kernel.h"

#include "kernels/cpu/lane_loop.h"
#include "kernels/cpu/philox16.h"

namespace qe::cpu::QE_ISA {
namespace {

// Columns drawn together: a 16 x 16 block, as in dropout_row.h.
constexpr int64_t kColumns = 256;

// 2 w - 1 with w the fraction of the upper 24 bits: exact.
QE_INLINE Vec symmetric(Int word) { return fma(to_float(shr<8>(word)), set(0x1p-23f), set(-1.0f)); }

QE_INLINE void draw(const NoiseRows& args, int64_t row, int64_t column, float* noise) {
  float words[kColumns];
  const Int quads = set_int(static_cast<uint32_t>(row << 16 | column / 4)) + shl<2>(lane_numbers());
  for (uint32_t i = 0; i < 4; ++i) {
    const Philox16 r = philox16(
        args.key, {set_int(args.sample), set_int(args.epoch), set_int(0), quads + set_int(i)});
    store(words + (4 * i + 0) * kLanes, symmetric(r.x));
    store(words + (4 * i + 1) * kLanes, symmetric(r.y));
    store(words + (4 * i + 2) * kLanes, symmetric(r.z));
    store(words + (4 * i + 3) * kLanes, symmetric(r.w));
  }
  transpose16(words, kLanes, noise, kLanes);
}

}  // namespace

void noise_rows(const NoiseRows& args) {
  float noise[kColumns];
  for (int64_t row = 0; row < args.rows; ++row) {
    float* x = args.x + row * args.stride;
    for (int64_t column = 0; column < args.cols; column += kColumns) {
      draw(args, row, column, noise);
      const int64_t rest = args.cols - column;
      for_lanes(rest < kColumns ? rest : kColumns, [&](int64_t i, auto part) {
        float* at = x + column + i;
        store(at, fma(set(args.scale), load(noise + i), load(at, part)), part);
      });
    }
  }
}

}  // namespace qe::cpu::QE_ISA
