// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace qe::cpu {

struct ColumnSums {
  const float* x;
  int64_t stride;
  int64_t rows;
  float* out;
};
/// Columns [begin, end).
QE_PER_ISA(void column_sums(const ColumnSums& args, int64_t begin, int64_t end);)

}  // namespace qe::cpu
