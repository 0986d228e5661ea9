// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What lora needs of the CPU backend beside gemm and dropout.

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe::cpu {

/// y += x. (T, C) fp32.
void add_matrix(Context& ctx, const Tensor& x, const Tensor& y);

size_t add_outer_products_workspace_bytes(const Context& ctx, int64_t n_tokens, int64_t n_left,
                                          int64_t n_right);
/// d += left^T right. left: (T, P), right: (T, Q), d: (P, Q).
void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right, const Tensor& d,
                        float* scratch);

}  // namespace qe::cpu
