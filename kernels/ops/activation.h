// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Activations of feed-forward blocks and heads, elementwise or with a gate, forward and derivative.

#include "kernels/core/activation.h"
#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// y = f(x). (T, F) of the compute type; may be the same memory.
void activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y);
/// dx = f'(x) * dy, overwritten. x is the forward input. dx may be dy's memory.
void activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                         const Tensor& dx);

/// The gated form (Shazeer 2020, arXiv:2002.05202), x = [a | g] (T, 2F): y = f(a) * g, (T, F) of
/// the compute type, disjoint from x.
void gated_activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y);
/// dx = [f'(a) g dy | f(a) dy], overwritten. dx (T, 2F) may be x's memory; disjoint from dy.
void gated_activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                               const Tensor& dx);

}  // namespace qe
