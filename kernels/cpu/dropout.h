// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/cpu/dropout_kernel.h"
#include "kernels/ops/dropout.h"

namespace qe::cpu {

/// The plain form that kernels take; the step's seed and epoch are read now.
DropoutRows plain_dropout(const Context& ctx, const Dropout& spec);

void dropout(Context& ctx, const Dropout& spec, const Tensor& x, const Tensor& y,
             const Tensor& residual);

}  // namespace qe::cpu
