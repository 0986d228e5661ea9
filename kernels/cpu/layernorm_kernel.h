// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <cstdint>

#include "kernels/cpu/dropout_kernel.h"
#include "kernels/cpu/isa.h"

namespace qe::cpu {

/// qe::LayerNormForward as plain data.
struct LayerNormForwardRows {
  const float* x;
  int64_t x_stride;
  const float* residual;  ///< nullable
  int64_t residual_stride;
  const float* gamma;
  const float* beta;  ///< nullable
  float epsilon;
  bool rms;
  float* sum;
  int64_t sum_stride;
  float* y;
  int64_t y_stride;
  int64_t cols;
  DropoutRows dropout;
};

/// qe::LayerNormBackward as plain data.
struct LayerNormBackwardRows {
  const float* sum;
  int64_t sum_stride;
  const float* gamma;
  float epsilon;
  bool rms;
  const float* dy;
  int64_t dy_stride;
  const float* d_sum;  ///< nullable
  int64_t d_sum_stride;
  float* d_residual;  ///< nullable
  int64_t d_residual_stride;
  bool accumulate;  ///< into d_residual
  float* d_x;       ///< nullable
  int64_t d_x_stride;
  float* d_gamma;  ///< nullable
  float* d_beta;   ///< nullable
  int64_t rows;
  int64_t cols;
  float* statistics;  ///< (T, 2) mean and rstd; read by the column sums only
  DropoutRows dropout;
};

QE_PER_ISA(
    // Rows [begin, end).
    void layernorm_forward_rows(const LayerNormForwardRows& args, int64_t begin, int64_t end);
    void layernorm_backward_rows(const LayerNormBackwardRows& args, int64_t begin, int64_t end);
    // Writes statistics of rows [begin, end).
    void layernorm_statistics(const LayerNormBackwardRows& args, int64_t begin, int64_t end);
    // Adds to d_gamma and d_beta, columns [begin, end): rows in ascending order.
    void layernorm_column_sums(const LayerNormBackwardRows& args, int64_t begin, int64_t end);)

}  // namespace qe::cpu
