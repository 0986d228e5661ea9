// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685): y += scale * B(A(dropout(x))), added to a
// base product that is already in y. Rows of one packed batch may use different adapters: each
// segment names its rows. Training passes one segment, serving many.

#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/dropout.h"

namespace qe {

/// Rows [row_begin, row_end) use the pair (A, B). Segments do not overlap; rows outside all of them
/// get the base alone.
struct LoraSegment {
  int64_t row_begin = 0;
  int64_t row_end = 0;
  Tensor a;  ///< (R, K)
  Tensor b;  ///< (N, R)
  float scale = 1.0f;
};

struct LoraForward {
  Tensor x;         ///< (T, K)
  Dropout dropout;  ///< of x; its row_samples cover all T rows
  std::span<const LoraSegment> segments;
  Tensor t;  ///< (T, R_max) out, saved for backward: scale * dropout(x) A^T
  Tensor y;  ///< (T, N), accumulated: y += t B^T
};
/// All of the compute type. Scratch: dropped x (T * K elements) when dropout.p > 0, and gemm's.
void lora_forward(Context& ctx, const LoraForward& args);

/// Gradients of one pair, for one segment (training).
struct LoraBackward {
  Tensor x;         ///< (T, K)
  Dropout dropout;  ///< as in forward
  LoraSegment segment;
  Tensor t;    ///< (T, R) from forward
  Tensor dy;   ///< (T, N)
  Tensor d_a;  ///< (R, K) fp32, nullable, accumulated
  Tensor d_b;  ///< (N, R) fp32, nullable, accumulated
  Tensor d_x;  ///< (T, K) nullable, accumulated
};
/// u = scale * dy B; d_b += dy^T t; d_a += u^T dropout(x); d_x += dropout'(u A). Sums over rows run
/// in ascending order (GPU: in an order that the shape fixes). Scratch: u (T * R elements), with
/// dropout T * K more, and gemm's or the backend's for sums over rows.
void lora_backward(Context& ctx, const LoraBackward& args);

}  // namespace qe
