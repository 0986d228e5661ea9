// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Linears with weight-decomposed adapters (DoRA, Liu et al. 2024, arXiv:2402.09353): with V = W +
// scale B A and row factors g = magnitude / ||V||, y = x W^T + bias + dropout(x) (g V - W)^T; so y
// = g (x V^T) + bias without dropout. Row norms are taken for constants by gradients (section 4.3
// of the paper); they change with A and B only, and V is never made.

#include "kernels/ops/lora.h"

namespace qe {

/// What belongs to one of the Linears over x; magnitude absent: it has no adapter.
struct DoraScale {
  Tensor magnitude;    ///< (1, N) fp32
  Tensor norms;        ///< (1, N) fp32: of V's rows, from dora_norms
  Tensor d_magnitude;  ///< (1, N) fp32, nullable, accumulated by backward
};

/// ||w||^2 of W's rows, (1, N) fp32. Scratch: a decoded W, where it is in 4 bits.
void dora_squares(Context& ctx, const LoraLinear& part, const Tensor& squares);

/// Norms of the rows of W + scale B A, (1, N) fp32: ||w||^2 + 2 scale (W A^T) b + scale^2 b A A^T b
/// of each. `part` has one segment; squares: from dora_squares. Scratch: R * (N + N + R) elements,
/// and the products'.
void dora_norms(Context& ctx, const LoraLinear& part, const Tensor& squares, const Tensor& norms);

struct DoraForward {
  Tensor x;         ///< (T, K)
  Dropout dropout;  ///< of x, for the adapters and the part of the base that they turn
  std::span<const LoraLinear> parts;  ///< with at most one segment each, of all rows
  std::span<const DoraScale> scales;  ///< of each part
  Tensor t;                           ///< as lora_forward's
  Tensor z;  ///< (T, sum of N) out, saved for backward: dropout(x) V^T, part by part
  Tensor y;  ///< (T, sum of N) out; without dropout it may be z's memory
};
/// Scratch: with dropout T * K elements; and lora_forward's.
void dora_forward(Context& ctx, const DoraForward& args);

struct DoraBackward {
  Tensor x;         ///< (T, K) what the Linears read; for d_a only
  Dropout dropout;  ///< as in forward
  std::span<const LoraLinear> parts;
  std::span<const DoraScale> scales;
  Tensor t, z;  ///< from forward
  Tensor dy;    ///< (T, sum of N); overwritten
  Tensor u;     ///< as lora_backward's
  Tensor d_x;   ///< (T, K) nullable out
  GradientMode d_x_mode = GradientMode::kAccumulate;
};
/// d_magnitude += sum over rows of dy z / ||V||, rows in ascending order (GPU: in an order that the
/// shape fixes); then lora_backward's gradients from g dy. Scratch: lora_backward's or
/// column_sums'; with dropout 2 T * K + T * sum of N elements and u more.
void dora_backward(Context& ctx, const DoraBackward& args);

}  // namespace qe
