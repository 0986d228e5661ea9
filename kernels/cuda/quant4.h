// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/quant4.h"

namespace qe::cuda {

/// absmax: (n_blocks) floats; out.absmax itself, or scratch when out is nested.
void quantize4(Context& ctx, const Tensor& w, Quant4Matrix& out, float* absmax);

void dequantize4(Context& ctx, const Quant4Matrix& q, const Tensor& out);

}  // namespace qe::cuda
