// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What lora needs of the CPU backend beside gemm and dropout.

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe::cpu {

/// y += x. (T, C) fp32.
void add_matrix(Context& ctx, const Tensor& x, const Tensor& y);

}  // namespace qe::cpu
