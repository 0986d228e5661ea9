// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/dropout.h"

#include "kernels/cpu/row_loop.h"

namespace qe::cpu {

DropoutRows plain_dropout(const Context& ctx, const Dropout& spec) {
  DropoutRows plain{};
  if (spec.p == 0.0f) return plain;
  plain.on = true;
  plain.key = philox_key(ctx.step->seed, spec.purpose);
  plain.epoch = ctx.step->epoch;
  plain.layer_site = spec.layer << 16 | spec.site;
  plain.threshold = probability_threshold(spec.p);
  plain.scale = static_cast<float>(1.0 / (1.0 - static_cast<double>(spec.p)));
  plain.samples = spec.row_samples.data();
  plain.rows = spec.row_indices.data();
  return plain;
}

void dropout(Context& ctx, const Dropout& spec, const Tensor& x, const Tensor& y,
             const Tensor& residual) {
  const DropoutMatrix args{.dropout = plain_dropout(ctx, spec),
                           .x = x.f32(),
                           .x_stride = x.stride,
                           .residual = residual ? residual.f32() : nullptr,
                           .residual_stride = residual.stride,
                           .y = y.f32(),
                           .y_stride = y.stride,
                           .cols = x.cols};
  const auto kernel = QE_ISA_SELECT(dropout_rows);
  for_row_ranges(ctx, x.rows, x.cols,
                 [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

}  // namespace qe::cpu
