// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/layernorm.h"

#include "kernels/cpu/dropout.h"
#include "kernels/cpu/layernorm_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

float* data_or_null(const Tensor& t) { return t ? t.f32() : nullptr; }

void column_sums(Context& ctx, const LayerNormBackwardRows& rows) {
  const auto statistics = QE_ISA_SELECT(layernorm_statistics);
  for_row_ranges(ctx, rows.rows, rows.cols,
                 [&](int64_t begin, int64_t end) { statistics(rows, begin, end); });
  const auto sums = QE_ISA_SELECT(layernorm_column_sums);
  for_column_ranges(ctx, rows.cols, [&](int64_t begin, int64_t end) { sums(rows, begin, end); });
}

}  // namespace

void layernorm_forward(Context& ctx, const LayerNormForward& args) {
  const LayerNormForwardRows rows{.x = args.x.f32(),
                                  .x_stride = args.x.stride,
                                  .residual = data_or_null(args.residual),
                                  .residual_stride = args.residual.stride,
                                  .gamma = args.gamma.f32(),
                                  .beta = data_or_null(args.beta),
                                  .epsilon = args.epsilon,
                                  .rms = args.rms,
                                  .sum = args.sum.f32(),
                                  .sum_stride = args.sum.stride,
                                  .y = args.y.f32(),
                                  .y_stride = args.y.stride,
                                  .cols = args.x.cols,
                                  .dropout = plain_dropout(ctx, args.dropout)};
  const auto kernel = QE_ISA_SELECT(layernorm_forward_rows);
  for_row_ranges(ctx, args.x.rows, rows.cols,
                 [&](int64_t begin, int64_t end) { kernel(rows, begin, end); });
}

void layernorm_backward(Context& ctx, const LayerNormBackward& args, float* statistics) {
  const LayerNormBackwardRows rows{.sum = args.sum.f32(),
                                   .sum_stride = args.sum.stride,
                                   .gamma = args.gamma.f32(),
                                   .epsilon = args.epsilon,
                                   .rms = args.rms,
                                   .dy = args.dy.f32(),
                                   .dy_stride = args.dy.stride,
                                   .d_sum = data_or_null(args.d_sum),
                                   .d_sum_stride = args.d_sum.stride,
                                   .d_residual = data_or_null(args.d_residual),
                                   .d_residual_stride = args.d_residual.stride,
                                   .accumulate = args.d_residual_mode == GradientMode::kAccumulate,
                                   .d_x = data_or_null(args.d_x),
                                   .d_x_stride = args.d_x.stride,
                                   .d_gamma = data_or_null(args.d_gamma),
                                   .d_beta = data_or_null(args.d_beta),
                                   .rows = args.sum.rows,
                                   .cols = args.sum.cols,
                                   .statistics = statistics,
                                   .dropout = plain_dropout(ctx, args.dropout)};
  // Before the rows: d_x may be dy's memory.
  if (args.d_gamma || args.d_beta) column_sums(ctx, rows);
  if (!args.d_residual && !args.d_x) return;
  const auto kernel = QE_ISA_SELECT(layernorm_backward_rows);
  for_row_ranges(ctx, rows.rows, rows.cols,
                 [&](int64_t begin, int64_t end) { kernel(rows, begin, end); });
}

// mean and rstd of each row.
size_t layernorm_sums_workspace_bytes(int64_t rows, int64_t) {
  return static_cast<size_t>(rows) * 2 * sizeof(float);
}

}  // namespace qe::cpu
