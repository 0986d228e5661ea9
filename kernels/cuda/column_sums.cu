// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {
namespace {

constexpr int kSliceLanes = 32;  // add slices lane, lane + 32, ...; then lanes in order

__global__ void __launch_bounds__(kWarp* kSliceLanes) add_slices_kernel(SliceSums s) {
  __shared__ float lanes[kSliceLanes][kWarp];
  float* const out = s.out[blockIdx.y];
  if (out == nullptr) return;
  const int64_t column = int64_t{blockIdx.x} * kWarp + threadIdx.x;
  const float* const from = s.partials + int64_t{blockIdx.y} * s.cols + column;
  float sum = 0.0f;
  if (column < s.cols) {
#pragma unroll 4
    for (int64_t i = threadIdx.y; i < s.n_slices; i += kSliceLanes) {
      sum += from[i * s.n_sums * s.cols];
    }
  }
  lanes[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= s.cols) return;
  for (int lane = 1; lane < kSliceLanes; ++lane) sum += lanes[lane][threadIdx.x];
  out[column] += s.divisors != nullptr ? sum / s.divisors[column] : sum;
}

template <class T, int N>
struct PlainTerms {
  const T* x;
  int64_t stride;

  struct Column {
    const T* x;
    int64_t stride;

    __device__ void operator()(int64_t row, float (&sums)[N]) const {
      float v[N];
      load_pack(x + row * stride, v);
#pragma unroll
      for (int i = 0; i < N; ++i) sums[i] += v[i];
    }
  };
  __device__ Column at(int64_t column) const { return {x + column, stride}; }
};

template <class T, int N>
void sum_columns(Context& ctx, const Tensor& x, const Tensor& out, float* partials) {
  add_column_sums<N>(ctx, "column_sums_kernel",
                     PlainTerms<T, N>{static_cast<const T*>(x.data), x.stride}, x.rows, x.cols,
                     partials, out.f32());
}

}  // namespace

void add_slices(Context& ctx, const SliceSums& sums) {
  launch(
      ctx, "add_slices_kernel", add_slices_kernel,
      dim3(static_cast<unsigned>(ceil_div(sums.cols, kWarp)), static_cast<unsigned>(sums.n_sums)),
      dim3(kWarp, kSliceLanes), 0, sums);
}

void column_sums(Context& ctx, const Tensor& x, const Tensor& out, float* partials) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    packable(x, kN) ? sum_columns<T, kN>(ctx, x, out, partials)
                    : sum_columns<T, 1>(ctx, x, out, partials);
  });
}

}  // namespace qe::cuda
