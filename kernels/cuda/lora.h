// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What lora needs of the CUDA backend beside other ops.

#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/lora_parts.h"

namespace qe::cuda {

/// Whether a batch of so many rows is worth copies of the weights (decoding them, where that is
/// done in any case).
bool lora_joins(int64_t n_rows, bool decodes);

void copy_blocks(Context& ctx, std::span<const CopiedBlock> blocks);

/// Whether there is a kernel for the two that follow.
bool has_dropped_products(const Context& ctx, const DroppedProduct& product);
/// t = scale * dropout(x) A^T.
void dropped_down(Context& ctx, const DroppedProduct& product);
/// x += dropout(t A).
void dropped_up(Context& ctx, const DroppedProduct& product);

size_t add_outer_products_workspace_bytes(const Context& ctx, int64_t n_tokens,
                                          std::span<const Tensor> d);
/// Whether add_outer_products can prepare `right` on the way.
bool sums_prepare(const Context& ctx, const Tensor& left, const Tensor& right);
/// The rows of left^T right, in turn, are added to those of d[0], d[1], ... left: (T, P), right:
/// (T, Q) of the compute type, d[i]: (P_i, Q) fp32 with P = sum of P_i.
void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right,
                        const Preparation& preparation, std::span<const Tensor> d, float* scratch);

}  // namespace qe::cuda
