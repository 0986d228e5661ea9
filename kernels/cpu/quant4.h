// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The CPU backend of quantize4 and dequantize4.

#include "kernels/cpu/gemm_kernel.h"
#include "kernels/ops/quant4.h"

namespace qe::cpu {

/// absmax: (n_blocks) floats; out.absmax itself, or scratch when out is nested.
void quantize4(Context& ctx, const Tensor& w, Quant4Matrix& out, float* absmax);

void dequantize4(Context& ctx, const Quant4Matrix& q, const Tensor& out);

/// The same matrix in the numeric code's terms.
Quant4View quant4_view(const Quant4Matrix& q);

}  // namespace qe::cpu
