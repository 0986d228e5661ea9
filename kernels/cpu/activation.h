// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/activation.h"

namespace qe::cpu {

void activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y);
void activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                         const Tensor& dx);
void gated_activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y);
void gated_activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                               const Tensor& dx);

}  // namespace qe::cpu
