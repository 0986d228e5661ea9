// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Words of random bits without state: those of ops/random.h, and keys (philox.h).

#include <cstdint>

#include "kernels/core/host_device.h"

namespace qe {

/// Word i of a stream: splitmix64's finalizer.
QE_HOST_DEVICE constexpr uint64_t random_word(uint64_t stream, uint64_t i) {
  uint64_t z = stream + i * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

/// What half 0 or 1 of a word is as an element; unit: limit / 2^31.
QE_HOST_DEVICE constexpr float random_element(uint64_t word, int half, float unit) {
  return static_cast<float>(static_cast<int32_t>(word >> (32 * half))) * unit;
}

}  // namespace qe
