// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/dora_parts.h"

namespace qe::cpu {

/// Of the rows of w, (N, K) F32, F16 or BF16.
void row_squares(Context& ctx, const Tensor& w, const Tensor& squares);
void dora_row_norms(Context& ctx, const DoraNorms& args);
void dora_scale(Context& ctx, const DoraScaleForward& args);
/// Without scratch.
void dora_scale_backward(Context& ctx, const DoraScaleBackward& args, float* scratch);

}  // namespace qe::cpu
