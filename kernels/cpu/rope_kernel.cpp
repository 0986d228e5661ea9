// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/rope_kernel.h"

#include "kernels/cpu/lane_loop.h"

namespace qe::cpu::QE_ISA {

void rope_rows(const RopeRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* cosines = args.table + args.positions[t] * args.table_stride;
    const float* sines = cosines + args.half;
    for (int64_t h = 0; h < args.n_heads; ++h) {
      float* first = args.x + t * args.x_stride + h * 2 * args.half;
      float* second = first + args.half;
      for_lanes(args.half, [&](int64_t j, auto part) {
        const Vec c = load(cosines + j, part);
        const Vec s = args.back ? -load(sines + j, part) : load(sines + j, part);
        const Vec a = load(first + j, part);
        const Vec b = load(second + j, part);
        store(first + j, fnma(b, s, a * c), part);
        store(second + j, fma(a, s, b * c), part);
      });
    }
  }
}

}  // namespace qe::cpu::QE_ISA
