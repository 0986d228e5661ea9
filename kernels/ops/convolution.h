// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What makes a convolution over the tokens of packed sequences a matrix product (im2col): the rows
// around each row side by side, and the gradient of that.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// y[t] = [x[t - w/2] | ... | x[t + w/2]], 0 for rows outside of t's sequence. x: (T, C), y: (T, w
/// C) of the compute type, disjoint, w = y.cols / x.cols odd. row_indices: (T) position of each row
/// inside its sequence.
void gather_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& x,
                    const Tensor& y);

/// Its backward: dx[t] (+)= the sum of what the w rows of dy took from row t, by ascending place in
/// their windows. dy: (T, w C), dx: (T, C), disjoint. kAccumulate starts the sums from dx.
void scatter_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& dy,
                     const Tensor& dx, GradientMode mode);

}  // namespace qe
