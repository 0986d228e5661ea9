// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// qe::Dropout as plain data, and its kernel.

#include <cstdint>

#include "kernels/core/philox.h"
#include "kernels/cpu/isa.h"

namespace qe::cpu {

struct DropoutRows {
  bool on = false;  ///< nothing else is read otherwise
  PhiloxKey key;
  uint32_t epoch;
  uint32_t layer_site;      ///< layer << 16 | site
  uint32_t threshold;       ///< drop when the random word is below
  float scale;              ///< 1 / (1 - p)
  const uint32_t* samples;  ///< (T)
  const uint32_t* rows;     ///< (T) position inside the sample
};

/// y = [residual +] dropout(x) for rows [begin, end); all (T, cols), y possibly the memory of one.
struct DropoutMatrix {
  DropoutRows dropout;
  const float* x;
  int64_t x_stride;
  const float* residual;  ///< nullable
  int64_t residual_stride;
  float* y;
  int64_t y_stride;
  int64_t cols;
};
QE_PER_ISA(void dropout_rows(const DropoutMatrix& args, int64_t begin, int64_t end);)

}  // namespace qe::cpu
