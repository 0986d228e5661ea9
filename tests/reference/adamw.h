// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// AdamW on one parameter in float64, written from the two rules' texts, for tests. Never for use
// outside tests.

#include <cmath>

namespace qe::reference {

struct AdamwState {
  double p, m, v;
};

struct AdamwSettings {
  double lr, beta1, beta2, epsilon, weight_decay;
};

/// torch.optim.AdamW, update number t >= 1.
inline AdamwState adamw_torch(AdamwState s, double g, int t, const AdamwSettings& o) {
  s.p = s.p - o.lr * o.weight_decay * s.p;
  s.m = o.beta1 * s.m + (1.0 - o.beta1) * g;
  s.v = o.beta2 * s.v + (1.0 - o.beta2) * g * g;
  const double m_hat = s.m / (1.0 - std::pow(o.beta1, t));
  const double v_hat = s.v / (1.0 - std::pow(o.beta2, t));
  s.p = s.p - o.lr * m_hat / (std::sqrt(v_hat) + o.epsilon);
  return s;
}

/// bitsandbytes' 32-bit kernel: decay comes after the update.
inline AdamwState adamw_bitsandbytes(AdamwState s, double g, int t, const AdamwSettings& o) {
  s.m = o.beta1 * s.m + (1.0 - o.beta1) * g;
  s.v = o.beta2 * s.v + (1.0 - o.beta2) * g * g;
  const double c1 = 1.0 - std::pow(o.beta1, t);
  const double c2 = std::sqrt(1.0 - std::pow(o.beta2, t));
  s.p = s.p + (-o.lr * c2 / c1) * (s.m / (std::sqrt(s.v) + o.epsilon * c2));
  s.p = s.p * (1.0 - o.lr * o.weight_decay);
  return s;
}

}  // namespace qe::reference
