// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Sums and maxima over warps and blocks, in an order that depends on nothing but the shape.

#include <cstdint>

namespace qe::cuda {

inline constexpr int kWarp = 32;

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Maximum {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/// Butterfly: every lane gets the same bits (x + y and y + x are equal).
template <class T, class Operation>
__device__ inline T warp_reduce(T x, Operation operation) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    x = operation(x, __shfl_xor_sync(0xffffffffu, x, offset));
  }
  return x;
}

/// Over all threads of the block (a multiple of 32, at most 1024); every thread gets the result.
/// `lanes`: 32 elements of shared memory that nothing else uses; may be used again at once.
template <class T, class Operation>
__device__ inline T block_reduce(T x, Operation operation, T identity, T* lanes) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int n_warps = static_cast<int>(blockDim.x) / kWarp;
  x = warp_reduce(x, operation);
  if (n_warps == 1) return x;
  __syncthreads();  // the last use of `lanes` is over
  if (lane == 0) lanes[warp] = x;
  __syncthreads();
  return warp_reduce(lane < n_warps ? lanes[lane] : identity, operation);
}

}  // namespace qe::cuda
