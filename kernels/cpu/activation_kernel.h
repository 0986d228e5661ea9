// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <cstdint>

#include "kernels/core/activation.h"
#include "kernels/cpu/isa.h"

namespace qe::cpu {

/// y = f(x), or with dy: y = f'(x) * dy. All (T, cols); in the gated form x, and backward y, are
/// (T, 2 cols).
struct ActivationRows {
  Activation function;
  const float* x;
  int64_t x_stride;
  const float* dy;
  int64_t dy_stride;
  float* y;
  int64_t y_stride;
  int64_t cols;
};
QE_PER_ISA(void activation_forward_rows(const ActivationRows& args, int64_t begin, int64_t end);
           void activation_backward_rows(const ActivationRows& args, int64_t begin, int64_t end);
           void gated_activation_forward_rows(const ActivationRows& args, int64_t begin,
                                              int64_t end);
           void gated_activation_backward_rows(const ActivationRows& args, int64_t begin,
                                               int64_t end);)

}  // namespace qe::cpu
