// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// One sequence is one task.

#include "kernels/cpu/pooling.h"

#include <algorithm>

#include "kernels/cpu/row_loop.h"

namespace qe::cpu {

void sequence_mean(Context& ctx, const SequenceMean& args) {
  run_tasks(ctx, args.y.rows, [&](int64_t b, int) {
    const int64_t begin = args.cu_seqlens[b];
    const int64_t end = args.cu_seqlens[b + 1];
    float* y = args.y.f32() + b * args.y.stride;
    std::fill_n(y, args.y.cols, 0.0f);
    for (int64_t row = begin; row < end; ++row) {
      const float* x = args.x.f32() + row * args.x.stride;
      for (int64_t c = 0; c < args.y.cols; ++c) y[c] += x[c];
    }
    const auto n = static_cast<float>(end - begin);
    for (int64_t c = 0; c < args.y.cols; ++c) y[c] /= n;
  });
}

}  // namespace qe::cpu
