// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/convolution.h"

namespace qe::cpu {

void gather_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& x,
                    const Tensor& y);
void scatter_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& dy,
                     const Tensor& dx, GradientMode mode);

}  // namespace qe::cpu
