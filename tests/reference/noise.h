// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// NEFTune's noise on one element in float64, for tests. Never for use outside tests.

#include <cmath>

#include "kernels/core/philox.h"

namespace qe::reference {

struct NoisePlace {
  uint64_t seed;
  uint32_t sample, epoch, row, col;
};

inline double embedding_noise(const NoisePlace& at, double alpha, double n_tokens, double n_cols) {
  const Philox4 bits = philox4x32(philox_key(at.seed, RandomPurpose::kEmbeddingNoise),
                                  philox_counter(at.sample, at.epoch, 0, 0, at.row, at.col / 4));
  const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
  const double unit = static_cast<double>(words[at.col % 4] >> 8) / 16777216.0;
  return alpha / std::sqrt(n_tokens * n_cols) * (2.0 * unit - 1.0);
}

}  // namespace qe::reference
