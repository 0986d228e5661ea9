// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/activation.h"

#include "kernels/cpu/activation_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

ActivationFunction function_of(Activation f) {
  switch (f) {
    case Activation::kGelu:
      break;
    case Activation::kGeluTanh:
      return ActivationFunction::kGeluTanh;
    case Activation::kRelu:
      return ActivationFunction::kRelu;
    case Activation::kSilu:
      return ActivationFunction::kSilu;
  }
  return ActivationFunction::kGelu;
}

}  // namespace

void activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  const ActivationRows args{.function = function_of(f),
                            .x = x.f32(),
                            .x_stride = x.stride,
                            .dy = nullptr,
                            .dy_stride = 0,
                            .y = y.f32(),
                            .y_stride = y.stride,
                            .cols = x.cols};
  const auto kernel = QE_ISA_SELECT(activation_forward_rows);
  for_row_ranges(ctx, x.rows, x.cols,
                 [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

void activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                         const Tensor& dx) {
  const ActivationRows args{.function = function_of(f),
                            .x = x.f32(),
                            .x_stride = x.stride,
                            .dy = dy.f32(),
                            .dy_stride = dy.stride,
                            .y = dx.f32(),
                            .y_stride = dx.stride,
                            .cols = x.cols};
  const auto kernel = QE_ISA_SELECT(activation_backward_rows);
  for_row_ranges(ctx, x.rows, x.cols,
                 [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

void gated_activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  const ActivationRows args{.function = function_of(f),
                            .x = x.f32(),
                            .x_stride = x.stride,
                            .dy = nullptr,
                            .dy_stride = 0,
                            .y = y.f32(),
                            .y_stride = y.stride,
                            .cols = y.cols};
  const auto kernel = QE_ISA_SELECT(gated_activation_forward_rows);
  for_row_ranges(ctx, x.rows, x.cols,
                 [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

void gated_activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                               const Tensor& dx) {
  const ActivationRows args{.function = function_of(f),
                            .x = x.f32(),
                            .x_stride = x.stride,
                            .dy = dy.f32(),
                            .dy_stride = dy.stride,
                            .y = dx.f32(),
                            .y_stride = dx.stride,
                            .cols = dy.cols};
  const auto kernel = QE_ISA_SELECT(gated_activation_backward_rows);
  for_row_ranges(ctx, x.rows, x.cols,
                 [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

}  // namespace qe::cpu
