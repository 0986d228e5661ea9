// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The matrix product for tests: in float64, and as the fp32 chain that the CPU backend promises.
// Never for use outside tests.

#include <cmath>
#include <functional>

namespace qe::reference {

/// Element (i, j) of a matrix.
using Elements = std::function<float(int64_t, int64_t)>;

/// One element of [start +] a b, with the sum of magnitudes that error bounds are made of.
struct Product {
  double value;
  double magnitude;
};
inline Product dot(const Elements& a, const Elements& b, int64_t i, int64_t j, int64_t k,
                   double start) {
  Product sum{start, std::fabs(start)};
  for (int64_t at = 0; at < k; ++at) {
    const double term = static_cast<double>(a(i, at)) * static_cast<double>(b(at, j));
    sum.value += term;
    sum.magnitude += std::fabs(term);
  }
  return sum;
}

/// The same element as one fp32 FMA chain over ascending k.
inline float chain(const Elements& a, const Elements& b, int64_t i, int64_t j, int64_t k,
                   float start) {
  for (int64_t at = 0; at < k; ++at) start = std::fma(a(i, at), b(at, j), start);
  return start;
}

}  // namespace qe::reference
