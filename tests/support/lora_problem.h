// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Linears with adapters over one x, as the tests of lora and dora take them.

#include <algorithm>
#include <deque>
#include <optional>
#include <vector>

#include "kernels/ops/lora.h"
#include "tests/reference/lora.h"
#include "tests/support/op_variants.h"
#include "tests/support/quantized.h"

namespace qe::test {

inline constexpr StepState kLoraStep{.seed = 1234567, .epoch = 3};

inline reference::MatrixF64 wide(const Matrix& m) {
  reference::MatrixF64 out(m.rows(), m.cols());
  out.data = doubles(m);
  return out;
}

/// Columns [begin, begin + n).
inline reference::MatrixF64 wide_columns(const Matrix& m, int64_t begin, int64_t n) {
  reference::MatrixF64 out(m.rows(), n);
  for (int64_t i = 0; i < m.rows(); ++i) {
    for (int64_t j = 0; j < n; ++j) out.at(i, j) = double{m.at(i, begin + j)};
  }
  return out;
}

/// A Linear of a problem; r == 0: without an adapter.
struct LoraPart {
  int64_t n, r;
  bool quantized = false;
  bool biased = true;
  float scale = 2.0f;
};

/// Random weights; gradients that are not zero, to be added to. w is what a quantized one decodes
/// to.
struct AdaptedLinear {
  LoraPart spec;
  Matrix w, bias, a, b, d_a, d_b;
  std::optional<Quantized> quantized;
  LoraSegment segment;

  AdaptedLinear(const LoraPart& part, int64_t k, uint64_t seed)
      : spec(part),
        w(Matrix::random(part.n, k, seed)),
        bias(Matrix::random(1, part.n, seed + 1)),
        a(Matrix::random(part.r, k, seed + 2)),
        b(Matrix::random(part.n, part.r, seed + 3)),
        d_a(Matrix::random(part.r, k, seed + 4).of_f32()),
        d_b(Matrix::random(part.n, part.r, seed + 5).of_f32()) {
    if (!part.quantized) return;
    std::vector<float> values;
    for (const double v : doubles(w)) values.push_back(static_cast<float>(v));
    quantized.emplace(Quant4Type::kNf4, part.n, k, 64, true);
    quantized->q.dtype = compute_type();
    quantize(*quantized, values);
    const std::vector<float> decoded = dequantize(quantized->view());
    for (int64_t i = 0; i < part.n; ++i) {
      for (int64_t j = 0; j < k; ++j) w.at(i, j) = decoded[static_cast<size_t>(i * k + j)];
    }
  }

  /// As ops take it, over t rows.
  LoraLinear part(int64_t t) {
    LoraLinear out;
    if (quantized) {
      out.quantized = &quantized->view();
    } else {
      out.dense = w.view();
    }
    if (spec.biased) out.bias = bias.view();
    if (spec.r > 0) {
      segment = {0, t, a.view(), b.view(), spec.scale};
      out.segments = {&segment, 1};
      out.d_a = d_a.view();
      out.d_b = d_b.view();
    }
    return out;
  }
  reference::LoraLinearF64 reference() const {
    reference::LoraLinearF64 out{wide(w), wide(a), wide(b), {}, double{spec.scale}};
    if (spec.biased) out.bias = doubles(bias);
    return out;
  }
};

/// What reads T rows of K columns: Linears (AdaptedLinear, or derived from it) and dropout.
template <class L>
struct LoraProblem {
  using Linear = L;
  int64_t t, k, n = 0, ranks = 0;
  float p;
  std::deque<Linear> linears;
  List<uint32_t> samples, rows;

  LoraProblem(int64_t t_, int64_t k_, const std::vector<LoraPart>& parts, float p_)
      : t(t_), k(k_), p(p_) {
    uint64_t seed = 10;
    for (const LoraPart& part : parts) {
      linears.emplace_back(part, k, seed);
      seed += 10;
      n += part.n;
      ranks += part.r;
    }
    for (int64_t i = 0; i < t; ++i) {
      samples.push_back(static_cast<uint32_t>(100 + i / 5));
      rows.push_back(static_cast<uint32_t>(i % 5));
    }
  }

  Dropout dropout() {
    return {.p = p,
            .purpose = RandomPurpose::kLoraDropout,
            .layer = 7,
            .site = 2,
            .row_samples = samples,
            .row_indices = rows};
  }
  reference::LoraDropout reference_dropout() {
    return {.p = double{p},
            .seed = kLoraStep.seed,
            .epoch = kLoraStep.epoch,
            .layer = 7,
            .site = 2,
            .samples = samples.host(),
            .rows = rows.host()};
  }
  /// The Linears from `first` on, as ops take them.
  std::vector<LoraLinear> parts(size_t first = 0, size_t count = kMaxLoraParts) {
    std::vector<LoraLinear> out;
    for (size_t i = first; i < std::min(linears.size(), first + count); ++i) {
      out.push_back(linears[i].part(t));
    }
    return out;
  }
  /// The columns of y (dy) that are Linear i's.
  reference::MatrixF64 columns_of(const Matrix& m, size_t i) const {
    int64_t begin = 0;
    for (size_t j = 0; j < i; ++j) begin += linears[j].spec.n;
    return wide_columns(m, begin, linears[i].spec.n);
  }
};

}  // namespace qe::test
