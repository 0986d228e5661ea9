// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace qe::cpu {

/// What is the same for all elements of an update. Both rules of qe::AdamwRule are  p = p * before;
/// p -= step_size * m / (sqrt(v) * root_scale + epsilon);  p = p * after.
struct AdamwConstants {
  float gradient_scale;  ///< clip_factor / loss_scale
  float beta1;
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float before;
  float step_size;
  float root_scale;
  float epsilon;
  float after;
};

struct AdamwElements {
  float* p;
  const float* g;
  float* m;
  float* v;
  AdamwConstants constants;
};
QE_PER_ISA(void adamw_elements(const AdamwElements& args, int64_t begin, int64_t end);)

}  // namespace qe::cpu
