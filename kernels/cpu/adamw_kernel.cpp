// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/adamw_kernel.h"

#include "kernels/cpu/lane_loop.h"

namespace qe::cpu::QE_ISA {

void adamw_elements(const AdamwElements& args, int64_t begin, int64_t end) {
  const AdamwConstants& c = args.constants;
  for_lanes(end - begin, [&](int64_t offset, auto part) {
    const int64_t i = begin + offset;
    const Vec g = load(args.g + i, part) * set(c.gradient_scale);
    const Vec m = fma(set(c.beta1), load(args.m + i, part), set(c.one_minus_beta1) * g);
    const Vec v = fma(set(c.beta2), load(args.v + i, part), set(c.one_minus_beta2) * g * g);
    const Vec denominator = fma(sqrt(v), set(c.root_scale), set(c.epsilon));
    const Vec decayed = load(args.p + i, part) * set(c.before);
    const Vec p = fnma(set(c.step_size), m / denominator, decayed) * set(c.after);
    store(args.m + i, m, part);
    store(args.v + i, v, part);
    store(args.p + i, p, part);
  });
}

}  // namespace qe::cpu::QE_ISA
