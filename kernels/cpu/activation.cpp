// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/activation.h"

#include "kernels/cpu/activation_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

using Rows = void (*)(const ActivationRows&, int64_t, int64_t);

// y = f(x), or what f does with dy where that is given; over `cols` of them.
void run(Context& ctx, Rows kernel, Activation f, const Tensor& x, const Tensor* dy,
         const Tensor& y, int64_t cols) {
  const ActivationRows args{.function = f,
                            .x = x.f32(),
                            .x_stride = x.stride,
                            .dy = dy ? dy->f32() : nullptr,
                            .dy_stride = dy ? dy->stride : 0,
                            .y = y.f32(),
                            .y_stride = y.stride,
                            .cols = cols};
  for_row_ranges(ctx, x.rows, x.cols,
                 [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

}  // namespace

void activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  run(ctx, QE_ISA_SELECT(activation_forward_rows), f, x, nullptr, y, x.cols);
}

void activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                         const Tensor& dx) {
  run(ctx, QE_ISA_SELECT(activation_backward_rows), f, x, &dy, dx, x.cols);
}

void gated_activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  run(ctx, QE_ISA_SELECT(gated_activation_forward_rows), f, x, nullptr, y, y.cols);
}

void gated_activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                               const Tensor& dx) {
  run(ctx, QE_ISA_SELECT(gated_activation_backward_rows), f, x, &dy, dx, dy.cols);
}

}  // namespace qe::cpu
