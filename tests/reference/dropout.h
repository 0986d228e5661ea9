// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The dropout rule for tests, one element at a time. Never for use outside tests.

#include <cstdint>

#include "kernels/core/philox.h"

namespace qe::reference {

/// Where an element is: kernels/core/philox.h.
struct DropoutPlace {
  uint64_t seed;
  RandomPurpose purpose;
  uint32_t sample, epoch, layer, head, row, column;
};

/// 0 when the element is dropped, else 1 / (1 - p).
inline double keep_scale(const DropoutPlace& at, double p) {
  if (p == 0.0) return 1.0;
  const Philox4 r =
      philox4x32(philox_key(at.seed, at.purpose),
                 philox_counter(at.sample, at.epoch, at.layer, at.head, at.row, at.column / 4));
  const uint32_t words[4] = {r.x, r.y, r.z, r.w};
  return words[at.column % 4] < probability_threshold(p) ? 0.0 : 1.0 / (1.0 - p);
}

}  // namespace qe::reference
