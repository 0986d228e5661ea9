// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/column_sums_kernel.h"

#include "kernels/cpu/lane_loop.h"

namespace qe::cpu::QE_ISA {

void column_sums(const ColumnSums& args, int64_t begin, int64_t end) {
  for_lanes(end - begin, [&](int64_t offset, auto part) {
    const int64_t column = begin + offset;
    Vec sum = load(args.out + column, part);
    for (int64_t t = 0; t < args.rows; ++t) {
      sum = sum + load(args.x + t * args.stride + column, part);
    }
    store(args.out + column, sum, part);
  });
}

}  // namespace qe::cpu::QE_ISA
