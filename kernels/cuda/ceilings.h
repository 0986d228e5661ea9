// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/ceilings.h"

namespace qe::cuda {

/// Of a large square product of random matrices in the compute type, through gemm.
void measure_gflops(Context& ctx, double* gflops);
void measure_copy_gbytes(Context& ctx, const Tensor& from, const Tensor& to, double* gbytes);

}  // namespace qe::cuda
