// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The dense matrix product. On the CPU every output element is one fp32 FMA chain over ascending k
// from a fixed start, whatever the tile, thread count, row position or vector width. So the
// gradient of a Linear's weight, dW += dY^T X (a = dY transposed, b = X not transposed, c fp32,
// kAccumulate; k counts tokens), is one chain over the tokens in ascending order, of all calls that
// add to it. On a GPU sums are fp32 too, in an order that shape and device fix (choose_parts in
// kernels/cuda/choices.h cuts long ones).

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

struct Gemm {
  Tensor a;  ///< (M, K), or (K, M) when a_transposed. Of the compute type
  Tensor b;  ///< (N, K) when b_transposed (a Linear's weight), else (K, N). CPU: F32, F16, BF16
  bool a_transposed = false;
  bool b_transposed = true;
  Tensor bias;         ///< (1, N) of c's type, nullable: added last; only with kOverwrite
  float alpha = 1.0f;  ///< multiplies b's elements before the chain
  /// (M, N) of the compute type, or F32. kAccumulate starts each chain from c instead of 0
  Tensor c;
  GradientMode mode = GradientMode::kOverwrite;
};

/// On a GPU b is of the compute type too, alpha multiplies the sum, and sums are fp32.
/// c = [c +] op(a) * (alpha * op(b)) [+ bias]. M, N or K may be 0. c overlaps no input.
void gemm(Context& ctx, const Gemm& args);

/// Scratch that gemm takes for an (M, K) by (K, N) product.
size_t gemm_workspace_bytes(const Context& ctx, int64_t m, int64_t n, int64_t k);

}  // namespace qe
