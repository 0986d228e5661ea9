// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Attention of one head of one sequence in float64, for tests. Never for use outside tests.

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace qe::reference {

/// (length, dim) matrices, row-major.
struct AttentionInput {
  size_t length;
  size_t dim;
  double scale;
  std::vector<double> q, k, v;
  std::function<double(size_t query, size_t key)> keep_scale;  ///< dropout of the probabilities
  /// Added to the scaled score, -infinity where a query does not see a key; empty: 0.
  std::function<double(size_t query, size_t key)> bias;
};

struct AttentionOutput {
  std::vector<double> probabilities;  ///< (length, length), before dropout
  std::vector<double> out;            ///< (length, dim)
  std::vector<double> lse;            ///< (length)
};

inline AttentionOutput attention(const AttentionInput& in) {
  const size_t n = in.length;
  AttentionOutput result{std::vector<double>(n * n), std::vector<double>(n * in.dim, 0.0),
                         std::vector<double>(n)};
  for (size_t i = 0; i < n; ++i) {
    double* p = &result.probabilities[i * n];
    for (size_t j = 0; j < n; ++j) {
      p[j] = 0.0;
      for (size_t d = 0; d < in.dim; ++d) p[j] += in.q[i * in.dim + d] * in.k[j * in.dim + d];
      p[j] *= in.scale;
      if (in.bias) p[j] += in.bias(i, j);
    }
    const double top = *std::max_element(p, p + n);
    double sum = 0.0;
    for (size_t j = 0; j < n; ++j) sum += std::exp(p[j] - top);
    result.lse[i] = top + std::log(sum);
    for (size_t j = 0; j < n; ++j) {
      p[j] = std::exp(p[j] - result.lse[i]);
      const double kept = p[j] * in.keep_scale(i, j);
      for (size_t d = 0; d < in.dim; ++d) result.out[i * in.dim + d] += kept * in.v[j * in.dim + d];
    }
  }
  return result;
}

struct AttentionGradient {
  std::vector<double> dq, dk, dv;  ///< (length, dim)
  std::vector<double> d_scores;    ///< (length, length), of what is added to the scaled scores
};

/// By the chain rule, without the D trick of the implementation.
inline AttentionGradient attention_gradient(const AttentionInput& in,
                                            const std::vector<double>& d_out) {
  const size_t n = in.length;
  const std::vector<double> zeros(n * in.dim, 0.0);
  AttentionGradient gradient{zeros, zeros, zeros, std::vector<double>(n * n)};
  const AttentionOutput forward = attention(in);
  std::vector<double> dp(n);
  for (size_t i = 0; i < n; ++i) {
    const double* p = &forward.probabilities[i * n];
    double p_dp = 0.0;
    for (size_t j = 0; j < n; ++j) {
      dp[j] = 0.0;
      const double keep_scale = in.keep_scale(i, j);
      for (size_t d = 0; d < in.dim; ++d) {
        const double term = keep_scale * d_out[i * in.dim + d];
        dp[j] += term * in.v[j * in.dim + d];
        gradient.dv[j * in.dim + d] += term * p[j];
      }
      p_dp += p[j] * dp[j];
    }
    for (size_t j = 0; j < n; ++j) {
      gradient.d_scores[i * n + j] = p[j] * (dp[j] - p_dp);
      const double ds = gradient.d_scores[i * n + j] * in.scale;
      for (size_t d = 0; d < in.dim; ++d) {
        gradient.dq[i * in.dim + d] += ds * in.k[j * in.dim + d];
        gradient.dk[j * in.dim + d] += ds * in.q[i * in.dim + d];
      }
    }
  }
  return gradient;
}

}  // namespace qe::reference
