// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The CPU backend of the ceilings.

#include "kernels/ops/ceilings.h"

namespace qe::cpu {

void measure_gflops(Context& ctx, double* gflops);
void measure_copy_gbytes(Context& ctx, const Tensor& from, const Tensor& to, double* gbytes);

}  // namespace qe::cpu
