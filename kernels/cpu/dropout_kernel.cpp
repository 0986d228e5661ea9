// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/dropout_kernel.h"

#include "kernels/cpu/dropout_row.h"

namespace qe::cpu::QE_ISA {

void dropout_rows(const DropoutMatrix& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* x = args.x + t * args.x_stride;
    float* y = args.y + t * args.y_stride;
    if (args.dropout.on) {
      dropout_row(args.dropout, t, x, y, args.cols);
    } else {
      for_lanes(args.cols, [&](int64_t i, auto part) { store(y + i, load(x + i, part), part); });
    }
  }
}

}  // namespace qe::cpu::QE_ISA
