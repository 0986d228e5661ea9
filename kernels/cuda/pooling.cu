// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Means of sequences: one thread for a pack of neighbouring columns of a sequence.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/pooling.h"

namespace qe::cuda {
namespace {

template <int N>
struct MeanBody {
  AnyMatrix x;
  const int32_t* cu_seqlens;
  AnyMatrix y;

  __device__ void operator()(int64_t b, int64_t column) const {
    const int32_t begin = cu_seqlens[b];
    const int32_t end = cu_seqlens[b + 1];
    float sum[N] = {};
    for (int32_t row = begin; row < end; ++row) {
      float v[N];
      x.load(row, column, v);
#pragma unroll
      for (int i = 0; i < N; ++i) sum[i] += v[i];
    }
    const float n = static_cast<float>(end - begin);
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] /= n;
    y.store(b, column, sum);
  }
};

template <int N>
void run(Context& ctx, const SequenceMean& args) {
  launch_elementwise(
      ctx, "sequence_mean", args.y.rows, args.y.cols, N,
      MeanBody<N>{AnyMatrix::of(args.x), args.cu_seqlens.data(), AnyMatrix::of(args.y)});
}

}  // namespace

void sequence_mean(Context& ctx, const SequenceMean& args) {
  if (packable(args.x, 4) && packable(args.y, 4)) {
    run<4>(ctx, args);
  } else {
    run<1>(ctx, args);
  }
}

}  // namespace qe::cuda
