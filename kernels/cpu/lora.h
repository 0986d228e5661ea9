// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What lora needs of the CPU backend beside other ops.

#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/lora_parts.h"

namespace qe::cpu {

/// Never: one chain of multiply-adds for each Linear, whichever share a call.
bool lora_joins(int64_t n_rows, bool decodes);

void copy_blocks(Context& ctx, std::span<const CopiedBlock> blocks);

/// There is none: products are composed.
inline bool has_dropped_products(const Context&, const DroppedProduct&) { return false; }
inline void dropped_down(Context&, const DroppedProduct&) {}
inline void dropped_up(Context&, const DroppedProduct&) {}

size_t add_outer_products_workspace_bytes(const Context& ctx, int64_t n_tokens,
                                          std::span<const Tensor> d);
/// Whether add_outer_products prepares `right`; always false.
bool sums_prepare(const Context& ctx, const Tensor& left, const Tensor& right);
/// The rows of left^T right, in turn, are added to those of d[0], d[1], ... left: (T, P), right:
/// (T, Q), d[i]: (P_i, Q) with P = sum of P_i.
void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right,
                        const Preparation& preparation, std::span<const Tensor> d, float* scratch);

}  // namespace qe::cpu
