// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// NEFTune's noise: one thread for four neighbouring columns, which share a draw.
#include "kernels/core/philox.h"
#include "kernels/core/step_state.h"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/noise.h"

namespace qe::cuda {
namespace {

template <int N>
struct NoiseBody {
  float alpha;
  const int32_t* cu_seqlens;
  int n_sequences;
  const uint32_t* sample_ids;
  const StepState* step;
  AnyMatrix x;
  int64_t cols;

  // The sequence of a row: the last one that begins at or before it.
  __device__ int sequence_of(int64_t row) const {
    int low = 0;
    int high = n_sequences - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (cu_seqlens[middle] <= row) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }

  __device__ void operator()(int64_t row, int64_t column) const {
    const int b = sequence_of(row);
    const int64_t begin = cu_seqlens[b];
    const double n = static_cast<double>(cu_seqlens[b + 1] - begin);
    const float scale =
        static_cast<float>(static_cast<double>(alpha) / sqrt(n * static_cast<double>(cols)));
    const Philox4 words = philox4x32(
        philox_key(step->seed, RandomPurpose::kEmbeddingNoise),
        philox_counter(sample_ids[b], step->epoch, 0, 0, static_cast<uint32_t>(row - begin),
                       static_cast<uint32_t>(column / 4)));
    const uint32_t bits[4] = {words.x, words.y, words.z, words.w};
    float v[N];
    x.load(row, column, v);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float noise = 2.0f * unit_float(bits[N == 1 ? column % 4 : i]) - 1.0f;
      v[i] = fmaf(scale, noise, v[i]);
    }
    x.store(row, column, v);
  }
};

template <int N>
void run(Context& ctx, const EmbeddingNoise& args) {
  launch_elementwise(
      ctx, "embedding_noise", args.x.rows, args.x.cols, N,
      NoiseBody<N>{args.alpha, args.cu_seqlens.data(), static_cast<int>(args.sample_ids.size()),
                   args.sample_ids.data(), ctx.step, AnyMatrix::of(args.x), args.x.cols});
}

}  // namespace

void embedding_noise(Context& ctx, const EmbeddingNoise& args) {
  if (packable(args.x, 4)) {
    run<4>(ctx, args);
  } else {
    run<1>(ctx, args);
  }
}

}  // namespace qe::cuda
