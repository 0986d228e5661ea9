// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Rotary positions of one head in float64, for tests. Never for use outside tests.

#include <vector>

namespace qe::reference {

/// x cos + rotate_half(x) sin, as transformers writes it; cosines and sines of the first half.
inline std::vector<double> rope(const std::vector<double>& x, const std::vector<double>& cosines,
                                const std::vector<double>& sines) {
  const size_t half = x.size() / 2;
  std::vector<double> y;
  for (size_t i = 0; i < x.size(); ++i) {
    const double rotated = i < half ? -x[i + half] : x[i - half];
    y.push_back(x[i] * cosines[i % half] + rotated * sines[i % half]);
  }
  return y;
}

}  // namespace qe::reference
