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

// x logistic(scale x).
inline ValueAndSlope swish(double x, double scale) {
  const double s = 1.0 / (1.0 + std::exp(-scale * x));
  return {x * s, s + scale * x * s * (1.0 - s)};
}
inline ValueAndSlope silu(double x) { return swish(x, 1.0); }
inline ValueAndSlope quick_gelu(double x) { return swish(x, 1.702); }

inline ValueAndSlope mish(double x) {
  const double softplus = x > 0.0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  const double t = std::tanh(softplus);
  const double curve = (1.0 - t * t) / (1.0 + std::exp(-x));
  return {x * t, t + (curve == 0.0 ? 0.0 : x * curve)};
}

inline ValueAndSlope hard_swish(double x) {
  if (x <= -3.0) return {0.0, 0.0};
  if (x >= 3.0) return {x, 1.0};
  return {x * (x + 3.0) / 6.0, (2.0 * x + 3.0) / 6.0};
}

inline ValueAndSlope relu2(double x) {
  const double r = relu(x).value;
  return {r * r, 2.0 * r};
}

inline ValueAndSlope relu6(double x) { return x >= 6.0 ? ValueAndSlope{6.0, 0.0} : relu(x); }

inline ValueAndSlope leaky_relu(double x) {
  return x > 0.0 ? ValueAndSlope{x, 1.0} : ValueAndSlope{0.01 * x, 0.01};
}

inline ValueAndSlope tanh(double x) {
  const double t = std::tanh(x);
  return {t, 1.0 - t * t};
}

inline ValueAndSlope sigmoid(double x) {
  const double s = 1.0 / (1.0 + std::exp(-x));
  return {s, s * (1.0 - s)};
}

inline ValueAndSlope linear(double x) { return {x, 1.0}; }

}  // namespace qe::reference
