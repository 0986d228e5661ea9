// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/gemm.h"

namespace qe::cuda {

/// Scratch of an (M, K) by (K, N) product.
size_t gemm_workspace_bytes(const Context& ctx, int64_t m, int64_t n, int64_t k);

/// scratch: gemm_workspace_bytes.
void gemm(Context& ctx, const Gemm& args, float* scratch);

}  // namespace qe::cuda
