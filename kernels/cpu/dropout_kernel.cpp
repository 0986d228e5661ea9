// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/dropout_kernel.h"

#include "kernels/cpu/dropout_row.h"

namespace qe::cpu::QE_ISA {
namespace {

// y = residual + dropout(x) for the columns of row t.
void add_dropout_row(const DropoutRows& d, int64_t t, const float* x, const float* residual,
                     float* y, int64_t cols) {
  float scales[kDropoutColumns];
  for (int64_t column = 0; column < cols; column += kDropoutColumns) {
    keep_scales(d, t, column, scales);
    const int64_t rest = cols - column;
    for_lanes(rest < kDropoutColumns ? rest : kDropoutColumns, [&](int64_t i, auto part) {
      const Vec kept = drop(load(x + column + i, part), load(scales + i));
      store(y + column + i, load(residual + column + i, part) + kept, part);
    });
  }
}

}  // namespace

void dropout_rows(const DropoutMatrix& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* x = args.x + t * args.x_stride;
    float* y = args.y + t * args.y_stride;
    if (args.residual != nullptr) {
      const float* residual = args.residual + t * args.residual_stride;
      if (args.dropout.on) {
        add_dropout_row(args.dropout, t, x, residual, y, args.cols);
      } else {
        for_lanes(args.cols, [&](int64_t i, auto part) {
          store(y + i, load(residual + i, part) + load(x + i, part), part);
        });
      }
    } else if (args.dropout.on) {
      dropout_row(args.dropout, t, x, y, args.cols);
    } else {
      for_lanes(args.cols, [&](int64_t i, auto part) { store(y + i, load(x + i, part), part); });
    }
  }
}

}  // namespace qe::cpu::QE_ISA
