// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Decoding of 4-bit weights in kernels: value = round_to_dtype(table[nibble] * scale of its block),
// the product in fp32, and with double quantization scale = map[code] * nested_absmax + offset, the
// product and the sum rounded one by one: the CPU's bits.

#include <algorithm>
#include <bit>

#include "kernels/core/quant_codebook.h"
#include "kernels/cuda/vec.cuh"
#include "kernels/ops/quant4.h"

namespace qe::cuda {

/// A Quant4Matrix as kernels take it.
struct Quant4Plan {
  const uint8_t* codes;
  const float* absmax;  // null with double quantization
  const uint8_t* absmax_codes;
  const float* nested_absmax;
  const float* nested_map;
  float nested_offset;
  int block_shift;   // log2 of the block size
  DType dtype;       // decoded values are rounded to it
  float levels[16];  // decoded value of each nibble

  __device__ bool nested() const { return absmax == nullptr; }
};

inline Quant4Plan plan_quant4(const Quant4Matrix& q) {
  Quant4Plan plan{.codes = q.codes,
                  .absmax = q.absmax,
                  .absmax_codes = q.absmax_codes,
                  .nested_absmax = q.nested_absmax,
                  .nested_map = q.nested_map,
                  .nested_offset = q.nested_offset,
                  .block_shift = std::countr_zero(static_cast<uint64_t>(q.block_size)),
                  .dtype = q.dtype};
  std::copy_n(q.type == Quant4Type::kFp4 ? kFp4Values : kNf4Values, 16, plan.levels);
  return plan;
}

/// The tables that decoding reads, in shared memory: 16 levels lie in 16 banks, so that no two
/// lanes of a warp collide.
struct Quant4Tables {
  float levels[16];
  float scales[256];  // nested_map

  /// By all threads of the block; a barrier must follow.
  __device__ void fill(const Quant4Plan& q) {
    for (int i = static_cast<int>(threadIdx.x); i < 256; i += static_cast<int>(blockDim.x)) {
      if (i < 16) levels[i] = q.levels[i];
      if (q.nested()) scales[i] = q.nested_map[i];
    }
  }
  /// The scale of a block of weights.
  __device__ float scale(const Quant4Plan& q, int64_t block) const {
    if (!q.nested()) return __ldg(q.absmax + block);
    return nested_scale(q, __ldg(q.absmax_codes + block), __ldg(q.nested_absmax + (block >> 8)));
  }
  /// The same, with double quantization, from what was loaded before.
  __device__ float nested_scale(const Quant4Plan& q, uint32_t code, float nested_absmax) const {
    return __fadd_rn(__fmul_rn(scales[code], nested_absmax), q.nested_offset);
  }
};

/// Rounds to nearest even to a 16-bit type and back.
__device__ inline float round_to(DType dtype, float x) {
  if (dtype == DType::kBF16) return __bfloat162float(__float2bfloat16_rn(x));
  if (dtype == DType::kF16) return __half2float(__float2half_rn(x));
  return x;
}

}  // namespace qe::cuda
