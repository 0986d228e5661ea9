// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A convolution over the tokens of one sequence in float64, for tests. Never for use outside tests.

#include <cstdint>
#include <vector>

namespace qe::reference {

/// y[t][o] = sum over c and j of w[o][c][j] x[t + j - width / 2][c], zeros around. x: (n, cols), w:
/// (outputs, cols, width), as torch's Conv1d has it.
inline std::vector<double> convolution(const std::vector<double>& x, int64_t cols,
                                       const std::vector<double>& w, int64_t outputs,
                                       int64_t width) {
  const auto at = [](const std::vector<double>& v, int64_t i) { return v[static_cast<size_t>(i)]; };
  const int64_t n = static_cast<int64_t>(x.size()) / cols;
  std::vector<double> y;
  for (int64_t t = 0; t < n; ++t) {
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0.0;
      for (int64_t j = 0; j < width; ++j) {
        const int64_t row = t + j - width / 2;
        if (row < 0 || row >= n) continue;
        for (int64_t c = 0; c < cols; ++c) {
          sum += at(w, (o * cols + c) * width + j) * at(x, row * cols + c);
        }
      }
      y.push_back(sum);
    }
  }
  return y;
}

}  // namespace qe::reference
