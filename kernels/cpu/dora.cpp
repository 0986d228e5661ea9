// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/dora.h"

#include "kernels/cpu/dora_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

const float* row_of(const Tensor& t) { return t ? t.f32() : nullptr; }

}  // namespace

void row_squares(Context& ctx, const Tensor& w, const Tensor& squares) {
  const RowSquares rows{
      .w = w.data, .stride = w.stride, .k = w.cols, .dtype = w.dtype, .squares = squares.f32()};
  const auto kernel = QE_ISA_SELECT(row_squares);
  for_row_ranges(ctx, w.rows, w.cols,
                 [&](int64_t begin, int64_t end) { kernel(rows, begin, end); });
}

void dora_row_norms(Context& ctx, const DoraNorms& args) {
  const DoraNormRows rows{.squares = args.squares.f32(),
                          .products = args.products.f32(),
                          .products_stride = args.products.stride,
                          .b = args.b.f32(),
                          .b_stride = args.b.stride,
                          .gram_b = args.gram_b.f32(),
                          .gram_b_stride = args.gram_b.stride,
                          .r = args.b.cols,
                          .scale = args.scale,
                          .norms = args.norms.f32()};
  const auto kernel = QE_ISA_SELECT(dora_norm_rows);
  for_row_ranges(ctx, args.b.rows, 3 * args.b.cols,
                 [&](int64_t begin, int64_t end) { kernel(rows, begin, end); });
}

void dora_scale(Context& ctx, const DoraScaleForward& args) {
  const DoraScaleRows rows{.z = args.z.f32(),
                           .z_stride = args.z.stride,
                           .magnitude = row_of(args.scale.magnitude),
                           .norms = row_of(args.scale.norms),
                           .shift = args.shift,
                           .bias = row_of(args.bias),
                           .y = args.y.f32(),
                           .y_stride = args.y.stride,
                           .n = args.z.cols,
                           .add = args.add};
  const auto kernel = QE_ISA_SELECT(dora_scale_rows);
  for_row_ranges(ctx, args.z.rows, args.z.cols,
                 [&](int64_t begin, int64_t end) { kernel(rows, begin, end); });
}

void dora_scale_backward(Context& ctx, const DoraScaleBackward& args, float*) {
  const DoraScaleColumns columns{
      .dy = args.dy.f32(),
      .dy_stride = args.dy.stride,
      .z = row_of(args.z),
      .z_stride = args.z.stride,
      .magnitude = row_of(args.scale.magnitude),
      .norms = row_of(args.scale.norms),
      .shift = args.shift,
      .dz = args.dz.f32(),
      .dz_stride = args.dz.stride,
      .d_magnitude = args.z && args.scale.d_magnitude ? args.scale.d_magnitude.f32() : nullptr,
      .rows = args.dy.rows};
  const auto kernel = QE_ISA_SELECT(dora_scale_columns);
  for_column_ranges(ctx, args.dy.cols,
                    [&](int64_t begin, int64_t end) { kernel(columns, begin, end); });
}

}  // namespace qe::cpu
