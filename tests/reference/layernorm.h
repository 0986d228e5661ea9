// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Layer normalization of one row in float64, for tests. Never for use outside tests.

#include <cmath>
#include <vector>

namespace qe::reference {

struct NormalizedRow {
  std::vector<double> xhat;
  double rstd;
};

/// rms: the mean counts as 0.
inline NormalizedRow normalize(const std::vector<double>& row, double epsilon, bool rms = false) {
  const double n = static_cast<double>(row.size());
  double mean = 0.0;
  for (const double x : row) mean += rms ? 0.0 : x / n;
  double variance = 0.0;
  for (const double x : row) variance += (x - mean) * (x - mean) / n;
  NormalizedRow out{{}, 1.0 / std::sqrt(variance + epsilon)};
  for (const double x : row) out.xhat.push_back((x - mean) * out.rstd);
  return out;
}

/// xhat * gamma + beta.
inline std::vector<double> layernorm(const std::vector<double>& row, double epsilon,
                                     const std::vector<double>& gamma,
                                     const std::vector<double>& beta, bool rms = false) {
  std::vector<double> y = normalize(row, epsilon, rms).xhat;
  for (size_t i = 0; i < y.size(); ++i) y[i] = y[i] * gamma[i] + beta[i];
  return y;
}

/// The row's gradient for the gradient dy of layernorm's result.
inline std::vector<double> layernorm_gradient(const std::vector<double>& row, double epsilon,
                                              const std::vector<double>& gamma,
                                              const std::vector<double>& dy, bool rms = false) {
  const NormalizedRow norm = normalize(row, epsilon, rms);
  const double n = static_cast<double>(row.size());
  double g_mean = 0.0;
  double gx_mean = 0.0;
  for (size_t i = 0; i < row.size(); ++i) {
    g_mean += rms ? 0.0 : dy[i] * gamma[i] / n;
    gx_mean += dy[i] * gamma[i] * norm.xhat[i] / n;
  }
  std::vector<double> dx;
  for (size_t i = 0; i < row.size(); ++i) {
    dx.push_back(norm.rstd * (dy[i] * gamma[i] - g_mean - norm.xhat[i] * gx_mean));
  }
  return dx;
}

}  // namespace qe::reference
