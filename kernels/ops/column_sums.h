// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Sums over rows: the gradient of a Linear's bias.

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// out += sum over the rows of x. x: (T, N) of the compute type, out: (1, N) fp32. On the CPU one
/// chain of fp32 sums that begins with out, rows in ascending order: several calls over parts of
/// the rows give the bits of one. On a GPU in an order that the shape fixes. Scratch: on a GPU
/// column_sums_workspace_bytes.
void column_sums(Context& ctx, const Tensor& x, const Tensor& out);

/// Scratch of the sums over a (rows, cols) matrix: not less for more rows.
size_t column_sums_workspace_bytes(const Context& ctx, int64_t rows, int64_t cols);

}  // namespace qe
