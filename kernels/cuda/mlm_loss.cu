// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Cross-entropy of a chunk of rows of logits, one block for each row. Logits are fp32 (16 bits
// would err by 0.06 at a logit of 20) and are read twice: once for the largest and the sum of
// exponentials together (the online softmax, Milakov and Gimelshein 2018, arXiv:1805.02867), once
// to become dlogits. The second time they come from L2, where the rows that blocks work on fit.
// dlogits are of the compute type, because the product that follows wants them so, and replace the
// logits in place: 16-bit values written for columns j overlie the fp32 logits of columns j / 2,
// which the block has read before, as one barrier for each step of a row ensures. exp is the
// hardware's 2^x: errors of 2e-6, relatively, at 20 below the largest logit.
//
// Sums of the threads meet in a fixed tree, sums of the rows in another: the same bits in every
// run.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mlm_loss.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kColumns = 8;  // of a thread at a time
constexpr int kStep = kThreads * kColumns;

// What one pass over some columns finds.
struct Statistics {
  float max;
  float sum;     // of exp(x - max)
  float total;   // of x
  int32_t best;  // the lowest column that has max
};

struct Merge {
  __device__ Statistics operator()(const Statistics& a, const Statistics& b) const {
    const float max = fmaxf(a.max, b.max);
    // Nothing seen yet: its sum is 0, whatever it is multiplied by.
    const float part_a = a.max == -INFINITY ? a.sum : a.sum * expf(a.max - max);
    const float part_b = b.max == -INFINITY ? b.sum : b.sum * expf(b.max - max);
    const int32_t best = a.max > b.max     ? a.best
                         : b.max > a.max   ? b.best
                         : a.best < b.best ? a.best
                                           : b.best;
    return {max, part_a + part_b, a.total + b.total, best};
  }
};

__device__ inline Statistics shuffle_xor(const Statistics& s, int offset) {
  return {__shfl_xor_sync(0xffffffffu, s.max, offset), __shfl_xor_sync(0xffffffffu, s.sum, offset),
          __shfl_xor_sync(0xffffffffu, s.total, offset),
          __shfl_xor_sync(0xffffffffu, s.best, offset)};
}

__device__ Statistics block_merge(Statistics s, Statistics* lanes) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int offset = kWarp / 2; offset > 0; offset /= 2) s = Merge{}(s, shuffle_xor(s, offset));
  if (lane == 0) lanes[warp] = s;
  __syncthreads();
  constexpr Statistics kNothing{-INFINITY, 0.0f, 0.0f, 0x7fffffff};
  s = lane < kThreads / kWarp ? lanes[lane] : kNothing;
  for (int offset = kWarp / 2; offset > 0; offset /= 2) s = Merge{}(s, shuffle_xor(s, offset));
  return s;
}

__device__ inline void load_columns(const float* from, float (&to)[kColumns]) {
#pragma unroll
  for (int i = 0; i < kColumns; i += 4) {
    const float4 pack = *reinterpret_cast<const float4*>(from + i);
    to[i] = pack.x;
    to[i + 1] = pack.y;
    to[i + 2] = pack.z;
    to[i + 3] = pack.w;
  }
}
template <class T>
__device__ inline void store_columns(T* to, const float (&from)[kColumns]) {
  constexpr int kN = kPack<T>;
#pragma unroll
  for (int i = 0; i < kColumns; i += kN) {
    float part[kN];
#pragma unroll
    for (int j = 0; j < kN; ++j) part[j] = from[i + j];
    store_pack(to + i, part);
  }
}

struct LossRows {
  float* logits;   // (rows, stride)
  int64_t stride;  // a multiple of 2 * kColumns; rows are 16-byte aligned
  int64_t vocab;   // columns that count
  int64_t cols;    // that dlogits are wanted of: 0 from vocab on
  const int32_t* labels;
  float smoothing;
  bool gradient;
  const StepState* step;
  float* row_loss;  // nullable
  float* losses;
  int32_t* correct;
};

// T: of dlogits.
template <class T>
__global__ void __launch_bounds__(kThreads) loss_rows_kernel(LossRows p) {
  __shared__ Statistics lanes[kThreads / kWarp];
  const int64_t row = blockIdx.x;
  float* const logits = p.logits + row * p.stride;
  const int64_t label = p.labels[row];
  const int64_t first = static_cast<int64_t>(threadIdx.x) * kColumns;

  Statistics seen{-INFINITY, 0.0f, 0.0f, 0x7fffffff};
  for (int64_t j = first; j < p.vocab; j += kStep) {
    float x[kColumns];
    load_columns(logits + j, x);
    if (j + kColumns > p.vocab) {
#pragma unroll
      for (int i = 0; i < kColumns; ++i) {
        if (j + i >= p.vocab) x[i] = -INFINITY;
      }
    }
    float top = x[0];
#pragma unroll
    for (int i = 1; i < kColumns; ++i) top = fmaxf(top, x[i]);
    if (top > seen.max) {
      seen.sum = seen.max == -INFINITY ? seen.sum : seen.sum * __expf(seen.max - top);
      seen.max = top;
#pragma unroll
      for (int i = kColumns - 1; i >= 0; --i) {
        if (x[i] == top) seen.best = static_cast<int32_t>(j + i);
      }
    }
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      seen.sum += x[i] == -INFINITY ? 0.0f : __expf(x[i] - seen.max);
    }
    if (p.smoothing > 0.0f) {
      for (int i = 0; i < kColumns; ++i) seen.total += j + i < p.vocab ? x[i] : 0.0f;
    }
  }
  seen = block_merge(seen, lanes);
  const float at_label = logits[label];
  __syncthreads();  // read before dlogits are written over it

  const float on_label = 1.0f - p.smoothing;
  const float on_all = p.smoothing / static_cast<float>(p.vocab);
  if (threadIdx.x == 0) {
    float below_max = seen.max - at_label;
    if (p.smoothing > 0.0f) {
      const float mean = seen.total / static_cast<float>(p.vocab);
      below_max = on_label * below_max + p.smoothing * (seen.max - mean);
    }
    const float loss = below_max + logf(seen.sum);
    p.losses[row] = loss;
    if (p.row_loss != nullptr) p.row_loss[row] = loss;
    p.correct[row] = seen.best == label ? 1 : 0;
  }
  if (!p.gradient) return;

  const float scale = p.step->loss_scale * p.step->inverse_labels;
  const float factor = scale / seen.sum;
  const float share = on_all * scale;
  T* const gradients = reinterpret_cast<T*>(logits);
  for (int64_t begin = 0; begin < p.cols; begin += kStep) {  // the same steps in all threads
    const int64_t j = begin + first;
    float value[kColumns];
    if (j < p.cols) {
      float x[kColumns];
      load_columns(logits + j, x);
#pragma unroll
      for (int i = 0; i < kColumns; ++i) {
        const float e = __expf(x[i] - seen.max);
        value[i] = e * factor - share;
        if (j + i == label) value[i] = (e / seen.sum - on_label - on_all) * scale;
        if (j + i >= p.vocab) value[i] = 0.0f;
      }
    }
    __syncthreads();
    if (j < p.cols) store_columns(gradients + j, value);
  }
}

__global__ void __launch_bounds__(kThreads)
    add_totals_kernel(const float* losses, const int32_t* correct, int n, MlmTotals* totals) {
  __shared__ double loss_lanes[kWarp];
  __shared__ int64_t correct_lanes[kWarp];
  double loss = 0.0;
  int64_t n_correct = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) {
    loss += static_cast<double>(losses[i]);
    n_correct += correct[i];
  }
  loss = block_reduce(loss, Plus{}, 0.0, loss_lanes);
  n_correct = block_reduce(n_correct, Plus{}, int64_t{0}, correct_lanes);
  if (threadIdx.x != 0) return;
  totals->loss += loss;
  totals->n_labels += n;
  totals->n_correct += n_correct;
}

struct PutBody {
  float* all;
  int64_t all_stride;
  const int32_t* ids;
  const float* chosen;
  int64_t chosen_stride;
  const float* bias;  // nullable

  __device__ void operator()(int64_t row, int64_t j) const {
    const int32_t id = ids[j];
    const float value = chosen[row * chosen_stride + j];
    all[row * all_stride + id] = bias != nullptr ? value + bias[id] : value;
  }
};

template <class T>
struct TakeBody {
  T* all;
  int64_t all_stride;
  const int32_t* ids;
  T* chosen;
  int64_t chosen_stride;

  __device__ void operator()(int64_t row, int64_t j) const {
    T& from = all[row * all_stride + ids[j]];
    chosen[row * chosen_stride + j] = from;
    from = from_float<T>(0.0f);
  }
};

}  // namespace

void mlm_loss_rows(Context& ctx, const MlmLossRows& args) {
  const LossRows p{.logits = args.logits.f32(),
                   .stride = args.logits.stride,
                   .vocab = args.vocab_size,
                   .cols = args.logits.cols,
                   .labels = args.labels.data(),
                   .smoothing = args.label_smoothing,
                   .gradient = args.gradient,
                   .step = ctx.step,
                   .row_loss = args.row_loss ? args.row_loss.f32() : nullptr,
                   .losses = args.losses,
                   .correct = args.correct};
  const int64_t n = args.logits.rows;
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    launch(ctx, "loss_rows_kernel", loss_rows_kernel<T>, dim3(static_cast<unsigned>(n)),
           dim3(kThreads), 0, p);
  });
  if (args.totals == nullptr || n == 0) return;
  launch(ctx, "add_totals_kernel", add_totals_kernel, dim3(1), dim3(kThreads), 0,
         static_cast<const float*>(args.losses), static_cast<const int32_t*>(args.correct),
         static_cast<int>(n), args.totals);
}

void put_columns(Context& ctx, const ChosenColumns& args) {
  launch_elementwise(ctx, "put_columns", args.chosen.rows, args.chosen.cols, 1,
                     PutBody{args.all.f32(), args.all.stride, args.ids.data(), args.chosen.f32(),
                             args.chosen.stride, args.bias ? args.bias.f32() : nullptr});
}

void take_columns(Context& ctx, const ChosenColumns& args) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    launch_elementwise(ctx, "take_columns", args.chosen.rows, args.chosen.cols, 1,
                       TakeBody<T>{static_cast<T*>(args.all.data), args.all.stride, args.ids.data(),
                                   static_cast<T*>(args.chosen.data), args.chosen.stride});
  });
}

}  // namespace qe::cuda
