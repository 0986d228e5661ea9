// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Gradient norm, clip factor and loss scale, all on the device: nothing waits for the host. One
// block sums the squares of kNormBlock gradients in fp64; one more block adds the partial sums.
// Every thread adds its own in ascending order and the threads' sums meet in a fixed tree, so the
// result is the same in every run.
#include "kernels/core/step_update.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/reduce.h"

namespace qe::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void square_sums_kernel(const float* gradients, int64_t n, double* sums) {
  __shared__ double lanes[kWarp];
  const int64_t begin = int64_t{blockIdx.x} * kNormBlock;
  const int64_t end = begin + kNormBlock < n ? begin + kNormBlock : n;
  double sum = 0.0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const double value = static_cast<double>(gradients[i]);
    sum += value * value;
  }
  sum = block_reduce(sum, Plus{}, 0.0, lanes);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void norm_kernel(const double* sums, int64_t n, float max_norm, StepState* step) {
  __shared__ double lanes[kWarp];
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += sums[i];
  sum = block_reduce(sum, Plus{}, 0.0, lanes);
  if (threadIdx.x == 0) set_gradient_norm(*step, sum, max_norm);
}

__global__ void finite_losses_kernel(const MlmTotals* totals, int64_t n, StepState* step) {
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    if (!isfinite(totals[i].loss)) step->finite = 0;  // all that write write the same
  }
}

__global__ void loss_scale_kernel(StepState* step, int32_t interval) {
  set_loss_scale(*step, interval);
}

}  // namespace

void gradient_norm(Context& ctx, std::span<const float> gradients, float max_norm, double* sums) {
  const int64_t n = static_cast<int64_t>(gradients.size());
  const int64_t n_blocks = ceil_div(n, kNormBlock);
  launch(ctx, "square_sums_kernel", square_sums_kernel, dim3(static_cast<unsigned>(n_blocks)),
         dim3(kThreads), 0, gradients.data(), n, sums);
  launch(ctx, "norm_kernel", norm_kernel, dim3(1), dim3(kThreads), 0, sums, n_blocks, max_norm,
         ctx.step);
}

void require_finite_losses(Context& ctx, std::span<const MlmTotals> totals) {
  launch(ctx, "finite_losses_kernel", finite_losses_kernel, dim3(1), dim3(kThreads), 0,
         totals.data(), static_cast<int64_t>(totals.size()), ctx.step);
}

void update_loss_scale(Context& ctx, int32_t interval) {
  launch(ctx, "loss_scale_kernel", loss_scale_kernel, dim3(1), dim3(1), 0, ctx.step, interval);
}

}  // namespace qe::cuda
