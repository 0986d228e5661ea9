// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What lora needs of the CUDA backend beside gemm and dropout.

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe::cuda {

/// y += x. (T, C) of the compute type.
void add_matrix(Context& ctx, const Tensor& x, const Tensor& y);

}  // namespace qe::cuda
