// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Linears with LoRA in float64 for tests: x W^T + bias + scale * (mask * x / (1 - p)) A^T B^T, and
// the gradients written out. Never for use outside tests.

#include <cstdint>
#include <vector>

#include "kernels/core/philox.h"

namespace qe::reference {

/// Row-major.
struct MatrixF64 {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<double> data;
  MatrixF64(int64_t n_rows, int64_t n_cols)
      : rows(n_rows), cols(n_cols), data(static_cast<size_t>(n_rows * n_cols)) {}
  double& at(int64_t i, int64_t j) { return data[static_cast<size_t>(i * cols + j)]; }
  double at(int64_t i, int64_t j) const { return data[static_cast<size_t>(i * cols + j)]; }
};

struct LoraDropout {
  double p = 0.0;
  uint64_t seed = 0;
  RandomPurpose purpose = RandomPurpose::kLoraDropout;
  uint32_t epoch = 0, layer = 0, site = 0;
  std::vector<uint32_t> samples, rows;
};

/// x with dropout applied, straight from the rule in kernels/core/philox.h.
inline MatrixF64 drop(const MatrixF64& x, const LoraDropout& d) {
  MatrixF64 out = x;
  if (d.p == 0.0) return out;
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < x.cols; ++j) {
      const size_t row = static_cast<size_t>(i);
      const Philox4 words = philox4x32(philox_key(d.seed, d.purpose),
                                       philox_counter(d.samples[row], d.epoch, d.layer, d.site,
                                                      d.rows[row], static_cast<uint32_t>(j / 4)));
      const uint32_t four[4] = {words.x, words.y, words.z, words.w};
      out.at(i, j) = four[j % 4] < probability_threshold(d.p) ? 0.0 : x.at(i, j) / (1.0 - d.p);
    }
  }
  return out;
}

/// c += factor * op(a) op(b), op being the transpose where it is said.
inline void add_product(MatrixF64& c, double factor, const MatrixF64& a, bool a_transposed,
                        const MatrixF64& b, bool b_transposed) {
  const int64_t inner = a_transposed ? a.rows : a.cols;
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.cols; ++j) {
      double sum = 0.0;
      for (int64_t k = 0; k < inner; ++k) {
        sum += (a_transposed ? a.at(k, i) : a.at(i, k)) * (b_transposed ? b.at(j, k) : b.at(k, j));
      }
      c.at(i, j) += factor * sum;
    }
  }
}

/// One Linear; a and b have rank 0 where there is no adapter.
struct LoraLinearF64 {
  MatrixF64 w, a, b;         // (N, K), (R, K), (N, R)
  std::vector<double> bias;  // (N) or empty
  double scale = 1.0;
};

/// (T, N).
inline MatrixF64 lora_linear(const MatrixF64& x, const LoraLinearF64& part, const LoraDropout& d) {
  MatrixF64 y(x.rows, part.w.rows), t(x.rows, part.a.rows);
  add_product(y, 1.0, x, false, part.w, true);
  add_product(t, part.scale, drop(x, d), false, part.a, true);
  add_product(y, 1.0, t, false, part.b, true);
  for (int64_t i = 0; i < y.rows && !part.bias.empty(); ++i) {
    for (int64_t j = 0; j < y.cols; ++j) y.at(i, j) += part.bias[static_cast<size_t>(j)];
  }
  return y;
}

/// Adds the gradients of sum(dy * lora_linear(x)).
inline void add_lora_gradients(const MatrixF64& x, const LoraLinearF64& part, const LoraDropout& d,
                               const MatrixF64& dy, MatrixF64& d_a, MatrixF64& d_b,
                               MatrixF64& d_x) {
  MatrixF64 t(x.rows, part.a.rows), u(x.rows, part.a.rows), share(x.rows, x.cols);
  const MatrixF64 dropped = drop(x, d);
  add_product(t, part.scale, dropped, false, part.a, true);
  add_product(u, part.scale, dy, false, part.b, false);
  add_product(d_b, 1.0, dy, true, t, false);
  add_product(d_a, 1.0, u, true, dropped, false);
  add_product(d_x, 1.0, dy, false, part.w, false);
  add_product(share, 1.0, u, false, part.a, false);
  share = drop(share, d);
  for (size_t i = 0; i < share.data.size(); ++i) d_x.data[i] += share.data[i];
}

}  // namespace qe::reference
