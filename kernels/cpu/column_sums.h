// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe::cpu {

/// Without scratch.
void column_sums(Context& ctx, const Tensor& x, const Tensor& out, float* scratch);
size_t column_sums_workspace_bytes(int64_t rows, int64_t cols);

}  // namespace qe::cpu
