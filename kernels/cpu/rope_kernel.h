// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace qe::cpu {

/// qe::Rope as plain data.
struct RopeRows {
  const uint32_t* positions;  ///< (T)
  const float* table;         ///< (positions, 2 half)
  int64_t table_stride;
  int64_t n_heads;
  int64_t half;  ///< D / 2
  bool back;
  float* x;  ///< (T, n_heads * 2 half ...), in place
  int64_t x_stride;
};
QE_PER_ISA(void rope_rows(const RopeRows& args, int64_t begin, int64_t end);)

}  // namespace qe::cpu
