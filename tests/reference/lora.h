// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// LoRA's forward in float64 for tests: y + scale * (mask * x / (1 - p)) A^T B^T. Never for use
// outside tests.

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

/// scale * drop(x) A^T B^T. x: (T, K), a: (R, K), b: (N, R).
inline MatrixF64 lora(const MatrixF64& x, const MatrixF64& a, const MatrixF64& b, double scale,
                      const LoraDropout& d) {
  const MatrixF64 dropped = drop(x, d);
  MatrixF64 y(x.rows, b.rows);
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t r = 0; r < a.rows; ++r) {
      double t = 0.0;
      for (int64_t k = 0; k < x.cols; ++k) t += dropped.at(i, k) * a.at(r, k);
      for (int64_t j = 0; j < b.rows; ++j) y.at(i, j) += scale * t * b.at(j, r);
    }
  }
  return y;
}

}  // namespace qe::reference
