// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// LayerNorm with the dropout and the residual sum before it: one block per row, one pass over
// device memory. A thread owns the same packs of columns all the time; they wait in shared memory
// as fp32 between the two passes of the statistics and the result, so nothing is read twice.
// Statistics are of the sum as it is stored (rounded to the compute type), which is what backward
// sees too.
//
// Backward with frozen gamma and beta has no sums over rows:
//   d = rstd * (g - mean(g) - xhat * mean(g xhat)),  g = dy gamma.
// With trainable ones a block takes several rows, one after the other, and each thread adds up what
// they give for its columns; a second kernel adds the blocks' sums. So dy and sum are still read
// once, and d_x may take dy's place.
#include <algorithm>

#include "kernels/cuda/choices.h"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/layernorm.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {
namespace {

constexpr int kMaxThreads = 256;

template <class T>
struct Rows {
  T* data;
  int64_t stride;

  static Rows of(const Tensor& t) { return {static_cast<T*>(t.data), t.stride}; }
  __device__ explicit operator bool() const { return data != nullptr; }
  __device__ T* at(int64_t row, int64_t column) const { return data + row * stride + column; }
};

struct Statistics {
  float mean;
  float rstd;
};

/// Of a row in shared memory, every thread reading its own packs; `sum` is this thread's share.
template <int N>
__device__ Statistics row_statistics(const float* row, int cols, float sum, float epsilon, bool rms,
                                     float* lanes) {
  const float n = static_cast<float>(cols);
  const float mean = rms ? 0.0f : block_reduce(sum, Plus{}, 0.0f, lanes) / n;
  float squares = 0.0f;
  for (int c = static_cast<int>(threadIdx.x) * N; c < cols; c += static_cast<int>(blockDim.x) * N) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float centred = row[c + i] - mean;
      squares = fmaf(centred, centred, squares);
    }
  }
  const float variance = block_reduce(squares, Plus{}, 0.0f, lanes) / n;
  return {mean, 1.0f / sqrtf(variance + epsilon)};
}

/// N floats of a vector whose alignment is that of floats in packs of at most 16 bytes.
template <int N>
__device__ void load_vector(const float* from, float (&to)[N]) {
  if constexpr (N <= 4) {
    load_pack(from, to);
  } else {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      float part[4];
      load_pack(from + i, part);
#pragma unroll
      for (int j = 0; j < 4; ++j) to[i + j] = part[j];
    }
  }
}

template <class T>
struct ForwardArgs {
  Rows<const T> x, residual;
  DropoutPlan dropout;
  const float* gamma;
  const float* beta;
  float epsilon;
  bool rms;
  Rows<T> sum, y;
  int cols;
};

template <class T, int N>
__global__ void layernorm_forward_kernel(ForwardArgs<T> args) {
  extern __shared__ float row[];  // (cols)
  __shared__ float lanes[kWarp];
  const int64_t t = blockIdx.x;
  const int step = static_cast<int>(blockDim.x) * N;
  float total = 0.0f;
  for (int c = static_cast<int>(threadIdx.x) * N; c < args.cols; c += step) {
    float v[N];
    load_pack(args.x.at(t, c), v);
    if (args.dropout.on) DropoutRow(args.dropout, t).apply(c, v);
    if (args.residual) {
      float r[N];
      load_pack(args.residual.at(t, c), r);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] = r[i] + v[i];
    }
    store_pack(args.sum.at(t, c), v);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float stored = to_float(from_float<T>(v[i]));
      row[c + i] = stored;
      total += stored;
    }
  }
  const Statistics s = row_statistics<N>(row, args.cols, total, args.epsilon, args.rms, lanes);
  for (int c = static_cast<int>(threadIdx.x) * N; c < args.cols; c += step) {
    float gamma[N], beta[N] = {}, y[N];
    load_vector(args.gamma + c, gamma);
    if (args.beta != nullptr) load_vector(args.beta + c, beta);
#pragma unroll
    for (int i = 0; i < N; ++i) y[i] = fmaf((row[c + i] - s.mean) * s.rstd, gamma[i], beta[i]);
    store_pack(args.y.at(t, c), y);
  }
}

template <class T>
struct BackwardArgs {
  Rows<const T> sum, dy, d_sum;
  DropoutPlan dropout;
  const float* gamma;
  float epsilon;
  bool rms;
  Rows<T> d_residual, d_x;
  bool accumulate;  // into d_residual
  float* partials;  // (blocks, 2, cols) nullable: sums for gamma, then for beta
  int64_t rows;
  int64_t block_rows;  // 1 without partials
  int cols;
};

template <class T, int N>
__device__ void row_backward(const BackwardArgs<T>& args, int64_t t, float* row, float* lanes) {
  float* const gs = row + args.cols;
  float* const sums = gs + args.cols;
  const int step = static_cast<int>(blockDim.x) * N;
  float total = 0.0f;
  for (int c = static_cast<int>(threadIdx.x) * N; c < args.cols; c += step) {
    float v[N], g[N], gamma[N];
    load_pack(args.sum.at(t, c), v);
    load_pack(args.dy.at(t, c), g);
    load_vector(args.gamma + c, gamma);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      row[c + i] = v[i];
      gs[c + i] = g[i] * gamma[i];
      total += v[i];
    }
  }
  const Statistics s = row_statistics<N>(row, args.cols, total, args.epsilon, args.rms, lanes);
  float g_sum = 0.0f;
  float gx_sum = 0.0f;
  for (int c = static_cast<int>(threadIdx.x) * N; c < args.cols; c += step) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      g_sum += gs[c + i];
      gx_sum = fmaf(gs[c + i], (row[c + i] - s.mean) * s.rstd, gx_sum);
    }
    if (args.partials == nullptr) continue;
    float dy[N];
    load_pack(args.dy.at(t, c), dy);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      sums[c + i] = fmaf(dy[i], (row[c + i] - s.mean) * s.rstd, sums[c + i]);
      sums[args.cols + c + i] += dy[i];
    }
  }
  if (!args.d_residual && !args.d_x) return;
  const float n = static_cast<float>(args.cols);
  const float g_mean = args.rms ? 0.0f : block_reduce(g_sum, Plus{}, 0.0f, lanes) / n;
  const float gx_mean = block_reduce(gx_sum, Plus{}, 0.0f, lanes) / n;
  for (int c = static_cast<int>(threadIdx.x) * N; c < args.cols; c += step) {
    float d[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float xhat = (row[c + i] - s.mean) * s.rstd;
      d[i] = s.rstd * fmaf(-xhat, gx_mean, gs[c + i] - g_mean);
    }
    float more[N];
    if (args.d_sum) {
      load_pack(args.d_sum.at(t, c), more);
#pragma unroll
      for (int i = 0; i < N; ++i) d[i] = more[i] + d[i];
    }
    if (args.d_residual) {
      if (args.accumulate) {
        load_pack(args.d_residual.at(t, c), more);
#pragma unroll
        for (int i = 0; i < N; ++i) more[i] = more[i] + d[i];
        store_pack(args.d_residual.at(t, c), more);
      } else {
        store_pack(args.d_residual.at(t, c), d);
      }
    }
    if (args.d_x) {
      if (args.dropout.on) DropoutRow(args.dropout, t).apply(c, d);
      store_pack(args.d_x.at(t, c), d);
    }
  }
}

template <class T, int N>
__global__ void layernorm_backward_kernel(BackwardArgs<T> args) {
  extern __shared__ float row[];  // (2, cols): sum, g; with partials (4, cols): and their sums
  __shared__ float lanes[kWarp];
  float* const sums = row + 2 * args.cols;
  const int first = static_cast<int>(threadIdx.x) * N;
  const int step = static_cast<int>(blockDim.x) * N;
  // Both are a thread's own columns, as all of a row is.
  const auto for_own_sums = [&](const auto& body) {
    for (int c = first; c < args.cols && args.partials != nullptr; c += step) {
      for (int i = 0; i < N; ++i) {
        body(c + i);
        body(args.cols + c + i);
      }
    }
  };
  for_own_sums([&](int at) { sums[at] = 0.0f; });
  const int64_t begin = int64_t{blockIdx.x} * args.block_rows;
  const int64_t end = begin + args.block_rows < args.rows ? begin + args.block_rows : args.rows;
  for (int64_t t = begin; t < end; ++t) row_backward<T, N>(args, t, row, lanes);
  for_own_sums([&](int at) { args.partials[int64_t{blockIdx.x} * 2 * args.cols + at] = sums[at]; });
}

// Threads that cover a row in as few and as full turns as possible.
dim3 threads_for(int64_t cols, int n) {
  const int64_t packs = ceil_div(cols, n);
  const int64_t turns = ceil_div(packs, kMaxThreads);
  return dim3(static_cast<unsigned>(ceil_div(ceil_div(packs, turns), kWarp) * kWarp));
}

float* data_or_null(const Tensor& t) { return t ? t.f32() : nullptr; }

// float loads of gamma and beta are at most 16 bytes wide.
bool vector_packable(const Tensor& t, int n) { return !t || packable(t, std::min(n, 4)); }

template <class T, int N>
void forward(Context& ctx, const LayerNormForward& args) {
  const ForwardArgs<T> kernel_args{.x = Rows<const T>::of(args.x),
                                   .residual = Rows<const T>::of(args.residual),
                                   .dropout = plan_dropout(ctx, args.dropout),
                                   .gamma = args.gamma.f32(),
                                   .beta = data_or_null(args.beta),
                                   .epsilon = args.epsilon,
                                   .rms = args.rms,
                                   .sum = Rows<T>::of(args.sum),
                                   .y = Rows<T>::of(args.y),
                                   .cols = static_cast<int>(args.x.cols)};
  launch(ctx, "layernorm_forward_kernel", layernorm_forward_kernel<T, N>,
         dim3(static_cast<unsigned>(args.x.rows)), threads_for(args.x.cols, N),
         static_cast<size_t>(args.x.cols) * sizeof(float), kernel_args);
}

template <class T, int N>
void backward(Context& ctx, const LayerNormBackward& args, const Slices& slices, float* partials) {
  const BackwardArgs<T> kernel_args{.sum = Rows<const T>::of(args.sum),
                                    .dy = Rows<const T>::of(args.dy),
                                    .d_sum = Rows<const T>::of(args.d_sum),
                                    .dropout = plan_dropout(ctx, args.dropout),
                                    .gamma = args.gamma.f32(),
                                    .epsilon = args.epsilon,
                                    .rms = args.rms,
                                    .d_residual = Rows<T>::of(args.d_residual),
                                    .d_x = Rows<T>::of(args.d_x),
                                    .accumulate = args.d_residual_mode == GradientMode::kAccumulate,
                                    .partials = partials,
                                    .rows = args.sum.rows,
                                    .block_rows = slices.tokens,
                                    .cols = static_cast<int>(args.sum.cols)};
  const int64_t n_floats = (partials != nullptr ? 4 : 2) * args.sum.cols;
  launch(ctx, "layernorm_backward_kernel", layernorm_backward_kernel<T, N>,
         dim3(static_cast<unsigned>(slices.n)), threads_for(args.sum.cols, N),
         static_cast<size_t>(n_floats) * sizeof(float), kernel_args);
}

}  // namespace

void layernorm_forward(Context& ctx, const LayerNormForward& args) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    bool packs = vector_packable(args.gamma, kN) && vector_packable(args.beta, kN);
    for (const Tensor* t : {&args.x, &args.residual, &args.sum, &args.y}) {
      packs = packs && (!*t || packable(*t, kN));
    }
    if (packs) {
      forward<T, kN>(ctx, args);
    } else {
      forward<T, 1>(ctx, args);
    }
  });
}

void layernorm_backward(Context& ctx, const LayerNormBackward& args, float* partials) {
  const bool sums = args.d_gamma || args.d_beta;
  if (args.sum.rows == 0 || (!sums && !args.d_residual && !args.d_x)) return;
  const Slices slices = sums ? choose_norm_slices(args.sum.rows) : Slices{1, args.sum.rows};
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    bool packs = vector_packable(args.gamma, kN);
    for (const Tensor* t : {&args.sum, &args.dy, &args.d_sum, &args.d_residual, &args.d_x}) {
      packs = packs && (!*t || packable(*t, kN));
    }
    if (packs) {
      backward<T, kN>(ctx, args, slices, sums ? partials : nullptr);
    } else {
      backward<T, 1>(ctx, args, slices, sums ? partials : nullptr);
    }
  });
  if (!sums) return;
  add_slices(ctx, {.partials = partials,
                   .n_slices = slices.n,
                   .n_sums = 2,
                   .cols = args.sum.cols,
                   .out = {data_or_null(args.d_gamma), data_or_null(args.d_beta)}});
}

}  // namespace qe::cuda
