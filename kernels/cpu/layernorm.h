// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/layernorm.h"

namespace qe::cpu {

void layernorm_forward(Context& ctx, const LayerNormForward& args);
/// statistics: (T, 2) scratch, used when d_gamma or d_beta is there.
void layernorm_backward(Context& ctx, const LayerNormBackward& args, float* statistics);
size_t layernorm_sums_workspace_bytes(int64_t rows, int64_t cols);

}  // namespace qe::cpu
