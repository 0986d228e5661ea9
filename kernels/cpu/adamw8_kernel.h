// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/cpu/adamw_kernel.h"

namespace qe::cpu {

/// One block of qe::Adamw8Span.
struct Adamw8Elements {
  float* p;
  const float* g;
  uint8_t* m;
  uint8_t* v;
  float* m_scale;
  float* v_scale;
  int64_t count;  ///< 1 .. 256
  AdamwConstants constants;
};
QE_PER_ISA(void adamw8_block(const Adamw8Elements& args);)

}  // namespace qe::cpu
