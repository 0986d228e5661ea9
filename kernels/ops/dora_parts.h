// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What ops/dora.cpp hands to its backends.

#include "kernels/ops/dora.h"

namespace qe {

/// norms = sqrt(squares + scale (2 P^T + scale B G) B^T), row by row.
struct DoraNorms {
  Tensor squares;   ///< (1, N) fp32
  Tensor products;  ///< P = A W^T (R, N) of the compute type
  Tensor b;         ///< (N, R) of the compute type
  Tensor gram_b;    ///< B A A^T (N, R) of the compute type
  float scale = 1.0f;
  Tensor norms;  ///< (1, N) fp32, above 0
};

/// y = [y +] (g - shift) z [+ bias], column by column. g = magnitude / norms; 1 without them.
struct DoraScaleForward {
  Tensor z;  ///< (T, N)
  DoraScale scale;
  float shift = 0.0f;
  Tensor bias;  ///< (1, N) nullable
  Tensor y;     ///< (T, N), may be z's memory
  bool add = false;
};

/// dz = (g - shift) dy; d_magnitude += sum over rows of dy z / norms.
struct DoraScaleBackward {
  Tensor dy, z;     ///< (T, N)
  DoraScale scale;  ///< without d_magnitude: z is not read
  float shift = 0.0f;
  Tensor dz;  ///< (T, N), may be dy's memory
};

}  // namespace qe
