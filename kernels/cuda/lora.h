// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What lora needs of the CUDA backend beside gemm and dropout.

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe::cuda {

/// y += x. (T, C) of the compute type.
void add_matrix(Context& ctx, const Tensor& x, const Tensor& y);

size_t add_outer_products_workspace_bytes(const Context& ctx, int64_t n_tokens, int64_t n_left,
                                          int64_t n_right);
/// d += left^T right. left: (T, P), right: (T, Q) of the compute type, d: (P, Q) fp32.
void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right, const Tensor& d,
                        float* scratch);

}  // namespace qe::cuda
