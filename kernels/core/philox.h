// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and this
// project's one rule for using it: every random decision is a pure function of
//   key     = (seed, purpose)
//   counter = (sample, epoch, layer and head, row and column inside the sample)
// never of step, batch row, rank, thread or tile. Masks and dropout are therefore equal for any
// accumulation, packing, number of GPUs, and after a resume.

#include <cstdint>

#include "kernels/core/random_word.h"

namespace qe {

struct PhiloxKey {
  uint32_t k0;
  uint32_t k1;
};

struct Philox4 {
  uint32_t x, y, z, w;
};

QE_HOST_DEVICE constexpr Philox4 philox4x32(PhiloxKey key, Philox4 counter) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * counter.x;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter.z;
    counter =
        Philox4{static_cast<uint32_t>(p1 >> 32) ^ counter.y ^ key.k0, static_cast<uint32_t>(p1),
                static_cast<uint32_t>(p0 >> 32) ^ counter.w ^ key.k1, static_cast<uint32_t>(p0)};
    key.k0 += 0x9E3779B9u;
    key.k1 += 0xBB67AE85u;
  }
  return counter;
}

/// What random numbers are for. Values are part of checkpoints' meaning: never renumber.
enum class RandomPurpose : uint32_t {
  kShuffle = 1,
  kMask = 2,
  kEvalMask = 3,
  kHiddenDropout = 4,
  kAttentionDropout = 5,
  kLoraDropout = 6,
  kLoraInit = 7,
  kHeadInit = 8,
  kEmbeddingNoise = 9,
};

/// The key of one purpose: a word of the seed's stream.
QE_HOST_DEVICE constexpr PhiloxKey philox_key(uint64_t seed, RandomPurpose purpose) {
  const uint64_t word = random_word(seed, static_cast<uint64_t>(purpose) + 1);
  return PhiloxKey{static_cast<uint32_t>(word), static_cast<uint32_t>(word >> 32)};
}

/// The counter of columns 4 * quad .. 4 * quad + 3 of `row`: .x serves the first of them, .w the
/// last. row < 2^16, quad < 2^16 (so col < 262,144), layer and head < 2^16.
QE_HOST_DEVICE constexpr Philox4 philox_counter(uint32_t sample, uint32_t epoch, uint32_t layer,
                                                uint32_t head, uint32_t row, uint32_t quad) {
  return Philox4{sample, epoch, (layer << 16) | head, (row << 16) | quad};
}

/// Uniform in [0, 1) with 24 bits.
QE_HOST_DEVICE constexpr float unit_float(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

/// The threshold t such that "bits < t" happens with probability p (to 2^-32).
QE_HOST_DEVICE constexpr uint32_t probability_threshold(double p) {
  return p >= 1.0 ? 0xffffffffu : p <= 0.0 ? 0u : static_cast<uint32_t>(p * 4294967296.0);
}

}  // namespace qe
