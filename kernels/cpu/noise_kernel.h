// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <cstdint>

#include "kernels/core/philox.h"
#include "kernels/cpu/isa.h"

namespace qe::cpu {

/// One sequence of qe::EmbeddingNoise.
struct NoiseRows {
  PhiloxKey key;
  uint32_t sample;
  uint32_t epoch;
  float scale;
  float* x;  ///< (rows, cols)
  int64_t stride;
  int64_t rows;
  int64_t cols;
};
QE_PER_ISA(void noise_rows(const NoiseRows& args);)

}  // namespace qe::cpu
