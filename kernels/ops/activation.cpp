// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/activation.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/activation.h"
#include "kernels/cuda/activation.h"
#include "kernels/ops/contract.h"

namespace qe {

void activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  contract::check_computed(ctx, "activation_forward", "x", x, x.rows, x.cols);
  contract::check_computed(ctx, "activation_forward", "y", y, x.rows, x.cols);
  contract::check_in_place("activation_forward", "x", x, "y", y);
  QE_DISPATCH(ctx, activation_forward, ctx, f, x, y);
}

void activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                         const Tensor& dx) {
  contract::check_computed(ctx, "activation_backward", "x", x, x.rows, x.cols);
  contract::check_computed(ctx, "activation_backward", "dy", dy, x.rows, x.cols);
  contract::check_computed(ctx, "activation_backward", "dx", dx, x.rows, x.cols);
  contract::check_in_place("activation_backward", "dy", dy, "dx", dx);
  contract::check_in_place("activation_backward", "x", x, "dx", dx);
  QE_DISPATCH(ctx, activation_backward, ctx, f, x, dy, dx);
}

void gated_activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  contract::check_computed(ctx, "gated_activation_forward", "y", y, x.rows, y.cols);
  contract::check_computed(ctx, "gated_activation_forward", "x", x, x.rows, 2 * y.cols);
  contract::check_disjoint("gated_activation_forward", "x", x, "y", y);
  QE_DISPATCH(ctx, gated_activation_forward, ctx, f, x, y);
}

void gated_activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                               const Tensor& dx) {
  contract::check_computed(ctx, "gated_activation_backward", "dy", dy, x.rows, dy.cols);
  contract::check_computed(ctx, "gated_activation_backward", "x", x, x.rows, 2 * dy.cols);
  contract::check_computed(ctx, "gated_activation_backward", "dx", dx, x.rows, x.cols);
  contract::check_disjoint("gated_activation_backward", "dy", dy, "dx", dx);
  contract::check_in_place("gated_activation_backward", "x", x, "dx", dx);
  QE_DISPATCH(ctx, gated_activation_backward, ctx, f, x, dy, dx);
}

}  // namespace qe
