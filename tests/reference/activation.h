// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Activations and their derivatives in float64, for tests. Never for use outside tests.

#include <cmath>
#include <numbers>

namespace qe::reference {

struct ValueAndSlope {
  double value;
  double slope;
};

inline ValueAndSlope gelu(double x) {
  const double cdf = 0.5 * std::erfc(-x / std::numbers::sqrt2);
  const double density = std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
  return {x * cdf, cdf + x * density};
}

inline ValueAndSlope gelu_tanh(double x) {
  const double factor = std::sqrt(2.0 / std::numbers::pi);
  const double t = std::tanh(factor * (x + 0.044715 * x * x * x));
  const double inner_slope = factor * (1.0 + 3.0 * 0.044715 * x * x);
  return {0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope};
}

inline ValueAndSlope relu(double x) { return {x > 0.0 ? x : 0.0, x > 0.0 ? 1.0 : 0.0}; }

inline ValueAndSlope silu(double x) {
  const double s = 1.0 / (1.0 + std::exp(-x));
  return {x * s, s + x * s * (1.0 - s)};
}

}  // namespace qe::reference
