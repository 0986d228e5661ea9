// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Sums over rows in two steps, in an order that the shape fixes: blocks add up slices of rows, one
// more kernel adds the slices' sums.

#include <cstdint>

#include "kernels/cuda/choices.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"

namespace qe::cuda {

/// The second step.
struct SliceSums {
  const float* partials;  ///< (n_slices, n_sums, cols)
  int64_t n_slices, n_sums, cols;
  float* out[2];                    ///< (cols) of each sum, added to; nullable
  const float* divisors = nullptr;  ///< (cols) of the sum before it is added, nullable
};
void add_slices(Context& ctx, const SliceSums& sums);

/// A block: 32 packs of columns, whose rows these many threads take in turns.
inline constexpr int kSumLanes = 8;

/// terms.at(column) is what a thread calls with (row, sums) for each of its rows, to add the terms
/// of N columns from `column` on. partials: (slices, cols).
template <int N, class Terms>
__global__ void __launch_bounds__(kWarp* kSumLanes)
    column_partials_kernel(Terms terms, int64_t rows, int64_t cols, int64_t slice_rows,
                           float* partials) {
  __shared__ float lanes[kSumLanes][N][kWarp];
  const int64_t column = (int64_t{blockIdx.x} * kWarp + threadIdx.x) * N;
  const int64_t begin = int64_t{blockIdx.y} * slice_rows;
  const int64_t end = begin + slice_rows < rows ? begin + slice_rows : rows;
  float sums[N] = {};
  if (column < cols) {
    const auto add = terms.at(column);
#pragma unroll 4
    for (int64_t row = begin + threadIdx.y; row < end; row += kSumLanes) add(row, sums);
  }
#pragma unroll
  for (int i = 0; i < N; ++i) lanes[threadIdx.y][i][threadIdx.x] = sums[i];
  __syncthreads();
  if (threadIdx.y != 0 || column >= cols) return;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    for (int lane = 1; lane < kSumLanes; ++lane) sums[i] += lanes[lane][i][threadIdx.x];
    partials[int64_t{blockIdx.y} * cols + column + i] = sums[i];
  }
}

/// Both steps over a (rows, cols) matrix, cols a multiple of N: out += sums [/ divisors]. partials:
/// column_sums_workspace_bytes of scratch.
template <int N, class Terms>
void add_column_sums(Context& ctx, const char* name, const Terms& terms, int64_t rows, int64_t cols,
                     float* partials, float* out, const float* divisors = nullptr) {
  const Slices slices = choose_row_slices(rows, cols);
  launch(ctx, name, column_partials_kernel<N, Terms>,
         dim3(static_cast<unsigned>(ceil_div(cols, kWarp * N)), static_cast<unsigned>(slices.n)),
         dim3(kWarp, kSumLanes), 0, terms, rows, cols, slices.tokens, partials);
  if (slices.n == 0) return;
  add_slices(ctx, {.partials = partials,
                   .n_slices = slices.n,
                   .n_sums = 1,
                   .cols = cols,
                   .out = {out, nullptr},
                   .divisors = divisors});
}

}  // namespace qe::cuda
