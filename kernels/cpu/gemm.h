// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The CPU backend of gemm, and the thread loop that matmul4 shares.

#include "kernels/cpu/gemm_kernel.h"
#include "kernels/ops/gemm.h"

namespace qe::cpu {

/// Scratch of an (M, K) by (K, N) product: a function of the shape and of the number of threads.
size_t gemm_workspace_bytes(const Context& ctx, int64_t m, int64_t n, int64_t k);

/// scratch: gemm_workspace_bytes.
void gemm(Context& ctx, const Gemm& args, float* scratch);

/// Cuts c into tiles and runs them on the context's threads. scratch: gemm_workspace_bytes.
void run_gemm(Context& ctx, const GemmProblem& problem, float* scratch);

}  // namespace qe::cpu
