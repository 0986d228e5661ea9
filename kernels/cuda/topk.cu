// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// The k best columns of each row: one block per row. Pass i looks for the best column that comes
// after the i-th answer in (logit descending, id ascending) order, so equal logits come out by id
// and no list has to be kept; k passes over a row that lies in the cache. The softmax's maximum and
// sum take two more.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/topk.h"

namespace qe::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int32_t kNone = 0x7fffffff;

struct Candidate {
  float logit;
  int32_t id;
};

__device__ bool better(Candidate a, Candidate b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// NaN counts as the lowest logit.
__device__ float comparable(float logit) { return logit == logit ? logit : -INFINITY; }

// Every thread gets the block's best.
__device__ Candidate block_best(Candidate best, Candidate* lanes) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const Candidate other{__shfl_xor_sync(0xffffffffu, best.logit, offset),
                          __shfl_xor_sync(0xffffffffu, best.id, offset)};
    if (better(other, best)) best = other;
  }
  __syncthreads();
  if (lane == 0) lanes[warp] = best;
  __syncthreads();
  best = lanes[0];
  for (int w = 1; w < kThreads / kWarp; ++w) {
    if (better(lanes[w], best)) best = lanes[w];
  }
  return best;
}

__global__ void topk_kernel(const float* logits, int64_t stride, int64_t vocab,
                            const int32_t* candidates, int64_t n_candidates, int64_t k,
                            int32_t* ids, float* probabilities) {
  __shared__ Candidate lanes[kThreads / kWarp];
  __shared__ float sums[kWarp];
  const float* row = logits + int64_t{blockIdx.x} * stride;
  float maximum = -INFINITY;
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) maximum = fmaxf(maximum, row[i]);
  maximum = block_reduce(maximum, Maximum{}, -INFINITY, sums);
  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) sum += expf(row[i] - maximum);
  sum = block_reduce(sum, Plus{}, 0.0f, sums);

  const int64_t n = candidates == nullptr ? vocab : n_candidates;
  Candidate last{INFINITY, -1};  // comes before everything
  for (int64_t place = 0; place < k; ++place) {
    Candidate best{-INFINITY, kNone};
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      const int32_t id = candidates == nullptr ? static_cast<int32_t>(i) : candidates[i];
      const Candidate candidate{comparable(row[id]), id};
      if (better(last, candidate) && better(candidate, best)) best = candidate;
    }
    last = block_best(best, lanes);
    if (threadIdx.x == 0) {
      ids[blockIdx.x * k + place] = last.id;
      probabilities[blockIdx.x * k + place] = expf(last.logit - maximum) / sum;
    }
  }
}

}  // namespace

void topk(Context& ctx, const TopK& args) {
  launch(ctx, "topk_kernel", topk_kernel, dim3(static_cast<unsigned>(args.logits.rows)),
         dim3(kThreads), 0, args.logits.f32(), args.logits.stride, args.logits.cols,
         args.candidates.empty() ? nullptr : args.candidates.data(),
         static_cast<int64_t>(args.candidates.size()), args.k, args.ids.data(),
         args.probabilities.data());
}

}  // namespace qe::cuda
