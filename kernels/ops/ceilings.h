// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a device can do at best, measured: the denominators of every benchmark.

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

/// Operations per second, in units of 1e9, of independent fused multiply-adds (2 each) on all of
/// the context's threads at once, in the type that matrix products accumulate in. On the CPU a
/// thread's own time counts, so that other load disturbs little. On a GPU: of a large matrix
/// product in the context's compute type.
double measure_gflops(Context& ctx);

/// Bytes read plus bytes written per second, in units of 1e9, by all of the context's threads
/// copying `from` to `to` (same shape and type, dense, no overlap; larger than the caches).
double measure_copy_gbytes(Context& ctx, const Tensor& from, const Tensor& to);

}  // namespace qe
