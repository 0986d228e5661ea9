// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/mlm_loss.h"

#include <algorithm>
#include <utility>

#include "kernels/cpu/row_loop.h"
#include "kernels/cpu/softmax_kernel.h"

namespace qe::cpu {

void mlm_loss_rows(Context& ctx, const MlmLossRows& args) {
  const CrossEntropyRows rows{
      .logits = args.logits.f32(),
      .stride = args.logits.stride,
      .cols = args.vocab_size,
      .labels = args.labels.data(),
      .smoothing = args.label_smoothing,
      .gradient = args.gradient,
      .scale = args.gradient ? ctx.step->loss_scale * ctx.step->inverse_labels : 0.0f,
      .losses = args.losses,
      .correct = args.correct};
  const auto kernel = QE_ISA_SELECT(cross_entropy_rows);
  for_row_ranges(ctx, args.logits.rows, rows.cols,
                 [&](int64_t begin, int64_t end) { kernel(rows, begin, end); });
  for (int64_t i = 0; i < args.logits.rows; ++i) {
    float* const row = rows.logits + i * rows.stride;
    if (args.gradient) std::fill(row + rows.cols, row + args.logits.cols, 0.0f);
    if (args.row_loss) args.row_loss.f32()[i] = args.losses[i];
    if (args.totals == nullptr) continue;
    args.totals->loss += static_cast<double>(args.losses[i]);
    args.totals->n_labels += 1;
    args.totals->n_correct += args.correct[i];
  }
}

void put_columns(Context& ctx, const ChosenColumns& args) {
  for_row_ranges(ctx, args.all.rows, args.chosen.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* const to = args.all.f32() + i * args.all.stride;
      const float* from = args.chosen.f32() + i * args.chosen.stride;
      for (const int32_t id : args.ids) {
        to[id] = args.bias ? *from + args.bias.f32()[id] : *from;
        ++from;
      }
    }
  });
}

void take_columns(Context& ctx, const ChosenColumns& args) {
  for_row_ranges(ctx, args.all.rows, args.chosen.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* const from = args.all.f32() + i * args.all.stride;
      float* to = args.chosen.f32() + i * args.chosen.stride;
      for (const int32_t id : args.ids) *to++ = std::exchange(from[id], 0.0f);
    }
  });
}

}  // namespace qe::cpu
