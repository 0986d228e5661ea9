// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).
//
// A row is read a few times from the nearest cache: sum and its mean, the variance about that mean,
// then the output. Lane i of a row sum adds columns i, i + 16, i + 32 ...; the 16 lanes are added
// by reduce_add's tree.

#include "kernels/cpu/layernorm_kernel.h"

#include "kernels/cpu/dropout_row.h"
#include "kernels/cpu/lane_loop.h"

namespace qe::cpu::QE_ISA {
namespace {

struct Statistics {
  float mean;
  float rstd;
};

/// The second pass: rstd about the mean of a row whose lane sums are `lanes`.
QE_INLINE Statistics finish(const float* row, int64_t cols, Vec lanes, float epsilon, bool rms) {
  const float mean = rms ? 0.0f : reduce_add(lanes) / static_cast<float>(cols);
  Vec squares = zero();
  for_lanes(cols, [&](int64_t i, auto part) {
    const Vec centred = inside(load(row + i, part) - set(mean), zero(), part);
    squares = fma(centred, centred, squares);
  });
  const float variance = reduce_add(squares) / static_cast<float>(cols);
  return {mean, 1.0f / __builtin_sqrtf(variance + epsilon)};
}

QE_INLINE Statistics statistics_of(const float* row, int64_t cols, float epsilon, bool rms) {
  Vec lanes = zero();
  for_lanes(cols, [&](int64_t i, auto part) { lanes = lanes + load(row + i, part); });
  return finish(row, cols, lanes, epsilon, rms);
}

/// sum = residual + dropout(x) of row t; returns the sum of each lane.
QE_INLINE Vec add_branch(const LayerNormForwardRows& args, int64_t t, float* sum) {
  const float* branch = args.x + t * args.x_stride;
  if (args.dropout.on) {
    dropout_row(args.dropout, t, branch, sum, args.cols);
    branch = sum;
  }
  Vec lanes = zero();
  if (args.residual != nullptr) {
    const float* residual = args.residual + t * args.residual_stride;
    for_lanes(args.cols, [&](int64_t i, auto part) {
      const Vec v = load(residual + i, part) + load(branch + i, part);
      store(sum + i, v, part);
      lanes = lanes + v;
    });
  } else {
    for_lanes(args.cols, [&](int64_t i, auto part) {
      const Vec v = load(branch + i, part);
      store(sum + i, v, part);
      lanes = lanes + v;
    });
  }
  return lanes;
}

/// Gradient of `sum` in one lane block: rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy gamma;
/// without mean(g) for an RMS norm.
struct RowGradient {
  Vec mean, rstd, g_mean, gx_mean;

  QE_INLINE Vec at(Vec sum, Vec g) const {
    const Vec xhat = (sum - mean) * rstd;
    return rstd * fnma(xhat, gx_mean, g - g_mean);
  }
};

QE_INLINE RowGradient row_gradient(const LayerNormBackwardRows& args, const float* sum,
                                   const float* dy) {
  const Statistics s = statistics_of(sum, args.cols, args.epsilon, args.rms);
  const Vec mean = set(s.mean);
  const Vec rstd = set(s.rstd);
  Vec g_lanes = zero();
  Vec gx_lanes = zero();
  for_lanes(args.cols, [&](int64_t i, auto part) {
    const Vec g = load(dy + i, part) * load(args.gamma + i, part);  // 0 beyond the end
    g_lanes = g_lanes + g;
    gx_lanes = fma(g, (load(sum + i, part) - mean) * rstd, gx_lanes);
  });
  const float cols = static_cast<float>(args.cols);
  const float g_mean = args.rms ? 0.0f : reduce_add(g_lanes) / cols;
  return {mean, rstd, set(g_mean), set(reduce_add(gx_lanes) / cols)};
}

}  // namespace

void layernorm_forward_rows(const LayerNormForwardRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    float* sum = args.sum + t * args.sum_stride;
    float* y = args.y + t * args.y_stride;
    const Vec lanes = add_branch(args, t, sum);
    const Statistics s = finish(sum, args.cols, lanes, args.epsilon, args.rms);
    const Vec mean = set(s.mean);
    const Vec rstd = set(s.rstd);
    if (args.beta != nullptr) {
      for_lanes(args.cols, [&](int64_t i, auto part) {
        const Vec xhat = (load(sum + i, part) - mean) * rstd;
        store(y + i, fma(xhat, load(args.gamma + i, part), load(args.beta + i, part)), part);
      });
    } else {
      for_lanes(args.cols, [&](int64_t i, auto part) {
        const Vec xhat = (load(sum + i, part) - mean) * rstd;
        store(y + i, xhat * load(args.gamma + i, part), part);
      });
    }
  }
}

void layernorm_backward_rows(const LayerNormBackwardRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* sum = args.sum + t * args.sum_stride;
    const float* dy = args.dy + t * args.dy_stride;
    const float* d_sum = args.d_sum == nullptr ? nullptr : args.d_sum + t * args.d_sum_stride;
    float* d_residual =
        args.d_residual == nullptr ? nullptr : args.d_residual + t * args.d_residual_stride;
    float* d_x = args.d_x == nullptr ? nullptr : args.d_x + t * args.d_x_stride;
    const RowGradient gradient = row_gradient(args, sum, dy);
    for_lanes(args.cols, [&](int64_t i, auto part) {
      const Vec g = load(dy + i, part) * load(args.gamma + i, part);
      Vec d = gradient.at(load(sum + i, part), g);
      if (d_sum != nullptr) d = load(d_sum + i, part) + d;
      if (d_residual != nullptr) {
        store(d_residual + i, args.accumulate ? load(d_residual + i, part) + d : d, part);
      }
      if (d_x != nullptr) store(d_x + i, d, part);
    });
    if (d_x != nullptr && args.dropout.on) dropout_row(args.dropout, t, d_x, d_x, args.cols);
  }
}

void layernorm_statistics(const LayerNormBackwardRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const Statistics s =
        statistics_of(args.sum + t * args.sum_stride, args.cols, args.epsilon, args.rms);
    args.statistics[2 * t] = s.mean;
    args.statistics[2 * t + 1] = s.rstd;
  }
}

void layernorm_column_sums(const LayerNormBackwardRows& args, int64_t begin, int64_t end) {
  for_lanes(end - begin, [&](int64_t offset, auto part) {
    const int64_t column = begin + offset;
    Vec d_gamma = args.d_gamma == nullptr ? zero() : load(args.d_gamma + column, part);
    Vec d_beta = args.d_beta == nullptr ? zero() : load(args.d_beta + column, part);
    for (int64_t t = 0; t < args.rows; ++t) {
      const Vec mean = set(args.statistics[2 * t]);
      const Vec rstd = set(args.statistics[2 * t + 1]);
      const Vec dy = load(args.dy + t * args.dy_stride + column, part);
      const Vec xhat = (load(args.sum + t * args.sum_stride + column, part) - mean) * rstd;
      d_gamma = fma(dy, xhat, d_gamma);
      d_beta = d_beta + dy;
    }
    if (args.d_gamma != nullptr) store(args.d_gamma + column, d_gamma, part);
    if (args.d_beta != nullptr) store(args.d_beta + column, d_beta, part);
  });
}

}  // namespace qe::cpu::QE_ISA
