// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Kernels over all elements of a (rows, cols) matrix: one thread for N neighbouring columns, N = 16
// bytes' worth where every operand's layout allows it, else 1.

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {

inline constexpr int kElementwiseThreads = 256;

/// body(row, first column) for every pack.
template <class Body>
__global__ void elementwise_kernel(uint32_t n_packs, uint32_t packs_per_row, int pack, Body body) {
  const uint32_t i = blockIdx.x * kElementwiseThreads + threadIdx.x;
  if (i >= n_packs) return;
  const uint32_t row = i / packs_per_row;
  body(static_cast<int64_t>(row),
       static_cast<int64_t>(i - row * packs_per_row) * static_cast<int64_t>(pack));
}

/// Launches body over a rows x cols matrix in packs of `pack` columns (cols % pack == 0).
template <class Body>
void launch_elementwise(Context& ctx, const char* name, int64_t rows, int64_t cols, int pack,
                        const Body& body) {
  const int64_t per_row = cols / pack;
  const int64_t n = rows * per_row;
  if (n == 0) return;
  QE_CHECK(n < int64_t{1} << 31, name, ": a matrix of ", rows, " x ", cols,
           " is too large for one launch");
  launch(ctx, name, elementwise_kernel<Body>,
         dim3(static_cast<unsigned>(ceil_div(n, kElementwiseThreads))), dim3(kElementwiseThreads),
         0, static_cast<uint32_t>(n), static_cast<uint32_t>(per_row), pack, body);
}

/// Elements of a matrix whose type is known at run time only.
struct AnyMatrix {
  void* data;
  int64_t stride;
  DType dtype;

  static AnyMatrix of(const Tensor& t) { return {t.data, t.stride, t.dtype}; }

  template <int N>
  __device__ void load(int64_t row, int64_t column, float (&to)[N]) const {
    const int64_t at = row * stride + column;
    if (dtype == DType::kF32) {
      load_pack(static_cast<const float*>(data) + at, to);
    } else if (dtype == DType::kBF16) {
      load_pack(static_cast<const __nv_bfloat16*>(data) + at, to);
    } else {
      load_pack(static_cast<const __half*>(data) + at, to);
    }
  }
  template <int N>
  __device__ void store(int64_t row, int64_t column, const float (&from)[N]) const {
    const int64_t at = row * stride + column;
    if (dtype == DType::kF32) {
      store_pack(static_cast<float*>(data) + at, from);
    } else if (dtype == DType::kBF16) {
      store_pack(static_cast<__nv_bfloat16*>(data) + at, from);
    } else {
      store_pack(static_cast<__half*>(data) + at, from);
    }
  }
};

}  // namespace qe::cuda
