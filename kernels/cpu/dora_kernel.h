// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/cpu/isa.h"

namespace qe::cpu {

/// The rows of w, each summed in lanes as layernorm does.
struct RowSquares {
  const void* w;  ///< (N, K) of dtype
  int64_t stride, k;
  DType dtype;
  float* squares;  ///< (N)
};
/// qe::DoraNorms as plain data.
struct DoraNormRows {
  const float* squares;
  const float* products;  ///< (R, N)
  int64_t products_stride;
  const float* b;  ///< (N, R)
  int64_t b_stride;
  const float* gram_b;  ///< (N, R)
  int64_t gram_b_stride;
  int64_t r;
  float scale;
  float* norms;
};
/// qe::DoraScaleForward as plain data; magnitude absent: g is 1.
struct DoraScaleRows {
  const float* z;
  int64_t z_stride;
  const float* magnitude;
  const float* norms;
  float shift;
  const float* bias;  ///< nullable
  float* y;
  int64_t y_stride;
  int64_t n;
  bool add;
};
/// qe::DoraScaleBackward as plain data.
struct DoraScaleColumns {
  const float* dy;
  int64_t dy_stride;
  const float* z;  ///< read with d_magnitude only
  int64_t z_stride;
  const float* magnitude;
  const float* norms;
  float shift;
  float* dz;
  int64_t dz_stride;
  float* d_magnitude;  ///< nullable
  int64_t rows;
};
QE_PER_ISA(void row_squares(const RowSquares& args, int64_t begin, int64_t end);
           void dora_norm_rows(const DoraNormRows& args, int64_t begin, int64_t end);
           void dora_scale_rows(const DoraScaleRows& args, int64_t begin, int64_t end);
           void dora_scale_columns(const DoraScaleColumns& args, int64_t begin, int64_t end);)

}  // namespace qe::cpu
