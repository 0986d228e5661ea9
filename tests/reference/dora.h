// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Linears with DoRA in float64 for tests, with V = W + scale B A made in full. Never for use
// outside tests.

#include <cmath>

#include "tests/reference/lora.h"

namespace qe::reference {

struct DoraF64 {
  LoraLinearF64 linear;
  std::vector<double> magnitude;  ///< (N)
};

inline MatrixF64 combined_weight(const LoraLinearF64& linear) {
  MatrixF64 v = linear.w;
  add_product(v, linear.scale, linear.b, false, linear.a, false);
  return v;
}

/// Of the rows of W + scale B A.
inline std::vector<double> dora_norms(const LoraLinearF64& linear) {
  const MatrixF64 v = combined_weight(linear);
  std::vector<double> norms;
  for (int64_t i = 0; i < v.rows; ++i) {
    double sum = 0.0;
    for (int64_t j = 0; j < v.cols; ++j) sum += v.at(i, j) * v.at(i, j);
    norms.push_back(std::sqrt(sum));
  }
  return norms;
}

/// g V - W.
inline MatrixF64 dora_change(const DoraF64& part, const std::vector<double>& norms) {
  MatrixF64 change = combined_weight(part.linear);
  for (int64_t i = 0; i < change.rows; ++i) {
    const size_t row = static_cast<size_t>(i);
    for (int64_t j = 0; j < change.cols; ++j) {
      change.at(i, j) = part.magnitude[row] / norms[row] * change.at(i, j) - part.linear.w.at(i, j);
    }
  }
  return change;
}

/// x W^T + bias + dropout(x) (g V - W)^T, with norms that are constants.
inline MatrixF64 dora_linear(const MatrixF64& x, const DoraF64& part, const LoraDropout& d,
                             const std::vector<double>& norms) {
  LoraLinearF64 base = part.linear;
  base.scale = 0.0;
  MatrixF64 y = lora_linear(x, base, {});
  add_product(y, 1.0, drop(x, d), false, dora_change(part, norms), true);
  return y;
}

/// Adds the gradients of sum(dy * dora_linear(x)).
inline void add_dora_gradients(const MatrixF64& x, const DoraF64& part, const LoraDropout& d,
                               const std::vector<double>& norms, const MatrixF64& dy,
                               std::vector<double>& d_m, MatrixF64& d_a, MatrixF64& d_b,
                               MatrixF64& d_x) {
  const LoraLinearF64& linear = part.linear;
  const MatrixF64 dropped = drop(x, d);
  MatrixF64 z(x.rows, dy.cols), dz = dy, d_v(dy.cols, x.cols), share(x.rows, x.cols);
  add_product(z, 1.0, dropped, false, combined_weight(linear), true);
  for (int64_t j = 0; j < dy.cols; ++j) {
    const size_t row = static_cast<size_t>(j);
    for (int64_t t = 0; t < x.rows; ++t) {
      d_m[row] += dy.at(t, j) * z.at(t, j) / norms[row];
      dz.at(t, j) *= part.magnitude[row] / norms[row];
    }
  }
  add_product(d_v, 1.0, dz, true, dropped, false);
  add_product(d_b, linear.scale, d_v, false, linear.a, true);
  add_product(d_a, linear.scale, linear.b, true, d_v, false);
  add_product(d_x, 1.0, dy, false, linear.w, false);
  add_product(share, 1.0, dy, false, dora_change(part, norms), false);
  share = drop(share, d);
  for (size_t i = 0; i < share.data.size(); ++i) d_x.data[i] += share.data[i];
}

}  // namespace qe::reference
