// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// One block of 8-bit AdamW in float64, written from the rules of bitsandbytes' CUDA kernel, for
// tests. Never for use outside tests.

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/reference/adamw.h"

namespace qe::reference {

/// The dynamic map from its definition: per decade 10^(e - 6), 2^e (unsigned: 2^(e + 1)) values in
/// the middles of equal parts of [0.1, 1], both signs when signed, and 0 and 1.
inline std::vector<double> dynamic_map(bool is_signed) {
  std::vector<double> map{0.0, 1.0};
  for (int e = 0; e <= 6; ++e) {
    const int n = is_signed ? 1 << e : 2 << e;
    for (int k = 0; k < n; ++k) {
      const double value = std::pow(10.0, e - 6) * (0.1 + 0.9 * (k + 0.5) / n);
      map.push_back(value);
      if (is_signed) map.push_back(-value);
    }
  }
  std::sort(map.begin(), map.end());
  return map;
}

struct Adamw8Code {
  int code = 0;
  double margin = 0.0;  ///< distance to the nearest border between codes, relative to the gap there
};

/// The nearest code by looking at all of them.
inline Adamw8Code nearest(const std::vector<double>& map, double x) {
  int best = 0;
  for (int i = 1; i < 256; ++i) {
    const double closer = std::abs(x - map[best]) - std::abs(x - map[i]);
    if (closer > 0 || (closer == 0 && i % 2 == 0)) best = i;
  }
  double margin = 1.0;
  for (int i = 0; i < 255; ++i) {
    margin = std::min(margin, std::abs(x - (map[i] + map[i + 1]) / 2) / (map[i + 1] - map[i]));
  }
  return {best, margin};
}

struct Adamw8Block64 {
  std::vector<double> p;
  std::vector<Adamw8Code> m, v;
  double m_scale = 0.0, v_scale = 0.0;
};

/// Update number t >= 1. m and v are decoded: code value * scale.
inline Adamw8Block64 adamw8(const std::vector<double>& p, const std::vector<double>& g,
                            const std::vector<double>& m, const std::vector<double>& v, int t,
                            const AdamwSettings& settings) {
  static const std::vector<double> signed_map = dynamic_map(true);
  static const std::vector<double> unsigned_map = dynamic_map(false);
  std::vector<AdamwState> states;
  Adamw8Block64 out;
  for (size_t i = 0; i < p.size(); ++i) {
    AdamwState s{p[i], 0.0, 0.0};
    if (std::isfinite(g[i])) s = adamw_bitsandbytes({p[i], m[i], v[i]}, g[i], t, settings);
    states.push_back(s);
    out.p.push_back(s.p);
    out.m_scale = std::max(out.m_scale, std::abs(s.m));
    out.v_scale = std::max(out.v_scale, s.v);
  }
  for (const AdamwState& s : states) {
    out.m.push_back(nearest(signed_map, out.m_scale > 0 ? s.m / out.m_scale : 0.0));
    out.v.push_back(nearest(unsigned_map, out.v_scale > 0 ? s.v / out.v_scale : 0.0));
    const bool negative = signed_map[out.m.back().code] < 0;
    if (s.m < 0 && !negative) out.m.back().code -= 1;
  }
  return out;
}

}  // namespace qe::reference
