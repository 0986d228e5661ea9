// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).
//
// Lane i of a row takes columns i, i + 16, i + 32 ...; the 16 lanes meet in reduce_*'s tree.

#include "kernels/cpu/softmax_kernel.h"

#include "kernels/cpu/lane_loop.h"
#include "kernels/cpu/vecmath.h"

namespace qe::cpu::QE_ISA {
namespace {

QE_INLINE float row_max(const float* row, int64_t cols) {
  const Vec lowest = as_float(set_int(0xff800000u));  // -infinity
  Vec best = lowest;
  for_lanes(cols, [&](int64_t i, auto part) {
    best = max(best, inside(load(row + i, part), lowest, part));
  });
  return reduce_max(best);
}

/// The first column that holds `value`, or cols.
QE_INLINE int64_t find_first(const float* row, int64_t cols, float value) {
  int64_t i = 0;
  for (; i + kLanes <= cols; i += kLanes) {
    const uint32_t found = mask_bits(equal(load(row + i), set(value)));
    if (found != 0) return i + __builtin_ctz(found);
  }
  while (i < cols && row[i] != value) ++i;
  return i;
}

/// Mean of max - x over the row.
QE_INLINE float mean_below(const float* row, int64_t cols, float max) {
  Vec lanes = zero();
  for_lanes(cols, [&](int64_t i, auto part) {
    lanes = lanes + inside(set(max) - load(row + i, part), zero(), part);
  });
  return reduce_add(lanes) / static_cast<float>(cols);
}

/// Sum of exp(x - max) over the row; `exps`, when there, takes each one (it may be the row).
QE_INLINE float sum_of_exp(const float* row, int64_t cols, float max, float* exps) {
  Vec lanes = zero();
  for_lanes(cols, [&](int64_t i, auto part) {
    const Vec e = exp(load(row + i, part) - set(max));
    if (exps != nullptr) store(exps + i, e, part);
    lanes = lanes + inside(e, zero(), part);
  });
  return reduce_add(lanes);
}

}  // namespace

SoftmaxRow softmax_row(const float* logits, int64_t n) {
  const float max = row_max(logits, n);
  return {max, sum_of_exp(logits, n, max, nullptr)};
}

void cross_entropy_rows(const CrossEntropyRows& args, int64_t begin, int64_t end) {
  const float on_label = 1.0f - args.smoothing;
  const float on_all = args.smoothing / static_cast<float>(args.cols);
  for (int64_t t = begin; t < end; ++t) {
    float* row = args.logits + t * args.stride;
    const int64_t label = args.labels[t];
    const float max = row_max(row, args.cols);
    const bool correct = find_first(row, args.cols, max) == label;
    float below_max = max - row[label];
    if (args.smoothing > 0.0f) {
      below_max = on_label * below_max + args.smoothing * mean_below(row, args.cols, max);
    }
    const float sum = sum_of_exp(row, args.cols, max, args.gradient ? row : nullptr);
    float log_sum[kLanes];
    store(log_sum, log(set(sum)));
    args.losses[t] = below_max + log_sum[0];
    args.correct[t] = correct ? 1 : 0;
    if (!args.gradient) continue;
    const float at_label = (row[label] / sum - on_label - on_all) * args.scale;
    const float factor = args.scale / sum;
    const float share = on_all * args.scale;
    for_lanes(args.cols, [&](int64_t i, auto part) {
      store(row + i, load(row + i, part) * set(factor) - set(share), part);
    });
    row[label] = at_label;
  }
}

void exp_in_place(float* values, int64_t n) {
  for_lanes(n, [&](int64_t i, auto part) { store(values + i, exp(load(values + i, part)), part); });
}

}  // namespace qe::cpu::QE_ISA
