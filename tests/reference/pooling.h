// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// THIS CODE SHOULD NEVER BE USED IN PRODUCTION: what kernels/ops/pooling.h says, in double.

#include <cstdint>
#include <vector>

namespace qe::reference {

/// Means of the rows [cu_seqlens[b], cu_seqlens[b + 1]) of x (T, cols), dense.
inline std::vector<double> sequence_mean(const std::vector<double>& x, int64_t cols,
                                         const std::vector<int32_t>& cu_seqlens) {
  std::vector<double> y;
  for (size_t b = 0; b + 1 < cu_seqlens.size(); ++b) {
    for (int64_t c = 0; c < cols; ++c) {
      double sum = 0.0;
      for (int64_t r = cu_seqlens[b]; r < cu_seqlens[b + 1]; ++r) sum += x[r * cols + c];
      y.push_back(sum / (cu_seqlens[b + 1] - cu_seqlens[b]));
    }
  }
  return y;
}

}  // namespace qe::reference
