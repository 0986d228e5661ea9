// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Slow, obvious 4-bit quantization for tests, one element at a time, straight from the format's
// description. Never for use outside tests.

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/core/quant_codebook.h"

namespace qe::reference {

/// The code whose value is nearest to x; thresholds are compared one by one.
inline int encode4(Quant4Type type, float x) {
  if (type == Quant4Type::kNf4) {
    int code = 0;
    while (code < 15 && x > (kNf4Values[code] + kNf4Values[code + 1]) * 0.5f) ++code;
    return code;
  }
  const int sign = x < 0.0f ? 8 : 0;
  const float a = std::fabs(x);
  if (a > 0.29166667f) {
    if (a > 0.583333f) return sign + (a > 0.8333333f ? 3 : 2);
    return sign + (a > 0.4166667f ? 5 : 4);
  }
  if (a > 0.0859375f) return sign + (a > 0.20833333f ? 7 : 6);
  return sign + (a > 0.00260417f ? 1 : 0);
}

struct Quantized4 {
  std::vector<uint8_t> codes;
  std::vector<float> absmax;
};

inline Quantized4 quantize4(Quant4Type type, const std::vector<float>& w, int64_t block_size) {
  const int64_t n = static_cast<int64_t>(w.size());
  Quantized4 out;
  out.codes.assign(static_cast<size_t>((n + 1) / 2), 0);
  for (int64_t begin = 0; begin < n; begin += block_size) {
    const int64_t end = std::min(begin + block_size, n);
    float absmax = 0.0f;
    for (int64_t i = begin; i < end; ++i) absmax = std::fmax(absmax, std::fabs(w[i]));
    out.absmax.push_back(absmax);
    for (int64_t i = begin; i < end + (end & 1); ++i) {
      const float x = i < end && absmax > 0.0f ? w[i] * (1.0f / absmax) : 0.0f;
      out.codes[i / 2] |= static_cast<uint8_t>(encode4(type, x) << (i % 2 == 0 ? 4 : 0));
    }
  }
  return out;
}

}  // namespace qe::reference
