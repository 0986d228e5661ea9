// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Attention, forward, on tensor cores: FlashAttention-2 (Dao 2023, arXiv:2307.08691).
//
// A thread block of four warps owns 128 queries of one (sequence, head) and walks over the
// sequence's keys, 64 (or 32) at a time. K and V of the next step are on their way into the other
// half of a double buffer while this one's are multiplied: one barrier a step. A warp owns 32
// queries, two fragments high, because every fragment of K and V that ldmatrix brings then feeds
// two products; with 16 the bandwidth of shared memory would be the limit.
//
// Softmax runs in base 2 with the scale folded into one fused multiply-add per score. The maximum
// that a row subtracts is moved only when the true one has grown by more than 8 in log2: sums up to
// 2^8 too large are harmless in fp32 (and in fp16 and bf16 for single probabilities), and the
// accumulator is rescaled once or twice a sequence instead of at every step. That decision belongs
// to the row alone, so a sequence gives the same bits in any company.
//
// Keys are stored in shared memory in the order QuadsInColumns: a thread's four scores of a query
// in 16 keys are then four consecutive keys, one call of Philox. K and V share the order, so the
// product with V does not notice.

#include "kernels/cuda/attention_args.cuh"
#include "kernels/cuda/attention_mma.cuh"
#include "kernels/cuda/launch.cuh"

namespace qe::cuda {

template <int kDim>
struct ForwardTiles {
  static constexpr int kThreads = 128;
  static constexpr int kQueries = 128;
  // Narrow heads: few keys at a time take few registers and leave room for three blocks, and short
  // sequences waste fewer keys (d = 64 on an H100: as fast as 64 keys and two blocks at s = 512,
  // 93 us instead of 145 for 512 x 32 tokens). d = 128: 99 KB of shared memory must do.
  static constexpr int kKeys = kDim <= 64 || kDim > 96 ? 32 : 64;
  static constexpr int kBlocks = kDim <= 64 ? 3 : 2;  // on a multiprocessor, at least
  static constexpr int kBytes = (kQueries + 4 * kKeys) * row_bytes(kDim);
};

/// The running softmax of a thread's rows: kM fragments, upper and lower half.
template <int kM>
struct SoftmaxRows {
  float maximum[kM][2];  // of the raw scores, or up to 8 in log2 below it
  float sum[kM][2];      // of this thread's columns

  __device__ SoftmaxRows() {
#pragma unroll
    for (int i = 0; i < 2 * kM; ++i) maximum[i / 2][i % 2] = -kInfinity, sum[i / 2][i % 2] = 0.0f;
  }
};

/// scores -> probabilities times 2^(maximum * factor); rescales what was summed before.
template <int kM, int kN, int kColumns>
__device__ inline void softmax_step(SoftmaxRows<kM>& rows, float (&s)[kM][kN][4],
                                    float (&out)[kM][kColumns][4], float factor) {
  float rescale[kM][2];
  bool any = false;
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = s[m][0][2 * half];
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        top = fmaxf(top, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
      }
      top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
      top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
      const float before = rows.maximum[m][half];
      const bool grown = (top - before) * factor > 8.0f;
      rescale[m][half] = grown ? exp2_fast((before - top) * factor) : 1.0f;
      rows.maximum[m][half] = grown ? top : before;
      any |= grown;
    }
  }
  if (__any_sync(0xffffffffu, any)) {
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float f = rescale[m][half];
        rows.sum[m][half] *= f;
#pragma unroll
        for (int n = 0; n < kColumns; ++n) out[m][n][2 * half] *= f, out[m][n][2 * half + 1] *= f;
      }
    }
  }
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float offset = -rows.maximum[m][half] * factor;
      float sum = 0.0f;
#pragma unroll
      for (int n = 0; n < kN; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          s[m][n][i] = exp2_fast(fmaf(s[m][n][i], factor, offset));
          sum += s[m][n][i];
        }
      }
      rows.sum[m][half] += sum;
    }
  }
}

/// Zeros the dropped of scores[..][2 k] and [2 k + 1], columns in the order QuadsInColumns. `row`:
/// query of the thread's first row; `quad`: of its first key.
template <int kM, int kN>
__device__ inline void drop_columns(float (&s)[kM][kN][4], int k, const AttentionDraw& draw,
                                    uint32_t threshold, int row, int quad) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Philox4 word =
          draw(static_cast<uint32_t>(row + m * 16 + half * 8), static_cast<uint32_t>(quad));
      if (word.x < threshold) s[m][2 * k][2 * half] = 0.0f;
      if (word.y < threshold) s[m][2 * k][2 * half + 1] = 0.0f;
      if (word.z < threshold) s[m][2 * k + 1][2 * half] = 0.0f;
      if (word.w < threshold) s[m][2 * k + 1][2 * half + 1] = 0.0f;
    }
  }
}

/// Scores of keys beyond the sequence to -infinity; columns in the order QuadsInColumns, `n_keys`
/// of them inside.
template <int kM, int kN>
__device__ inline void mask_columns(float (&s)[kM][kN][4], int t, int n_keys) {
#pragma unroll
  for (int n = 0; n < kN; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (n / 2 * 16 + 4 * t + n % 2 * 2 + i < n_keys) continue;
#pragma unroll
      for (int m = 0; m < kM; ++m) s[m][n][i] = -kInfinity, s[m][n][i + 2] = -kInfinity;
    }
  }
}

template <class T, int kDim, bool kDropout>
__global__ void __launch_bounds__(ForwardTiles<kDim>::kThreads, ForwardTiles<kDim>::kBlocks)
    attention_forward_kernel(const AttentionArgs args) {
  using Tiles = ForwardTiles<kDim>;
  constexpr int kRow = row_bytes(kDim);
  constexpr int kKeys = Tiles::kKeys;
  extern __shared__ __align__(16) char tiles[];

  const int head = static_cast<int>(blockIdx.x) % args.n_heads;
  const SequenceBlock at =
      find_block<Tiles::kQueries>(args, static_cast<int>(blockIdx.x) / args.n_heads);
  if (at.begin >= at.length) return;
  const int64_t part = int64_t{args.n_heads} * args.head_dim;
  const T* q =
      static_cast<const T*>(args.qkv) + at.first_row * args.qkv_stride + head * args.head_dim;

  // Q, then two stages of K and V.
  const uint32_t q_tile = shared_address(tiles);
  const uint32_t stages = q_tile + Tiles::kQueries * kRow;
  const auto load_keys = [&](int step) {
    const uint32_t k_tile = stages + step % 2 * (2 * kKeys * kRow);
    load_tile<kKeys, kDim, Tiles::kThreads>(k_tile, q + part, args.qkv_stride, args.head_dim,
                                            step * kKeys, at.length, QuadsInColumns{});
    load_tile<kKeys, kDim, Tiles::kThreads>(k_tile + kKeys * kRow, q + 2 * part, args.qkv_stride,
                                            args.head_dim, step * kKeys, at.length,
                                            QuadsInColumns{});
  };
  load_tile<Tiles::kQueries, kDim, Tiles::kThreads>(q_tile, q, args.qkv_stride, args.head_dim,
                                                    at.begin, at.length, InOrder{});
  load_keys(0);

  const Lane lane;
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 32;
  const bool working = at.begin + warp_row < at.length;
  const float factor = args.scale * kLog2E;
  AttentionDraw draw;
  if constexpr (kDropout) draw = attention_draw(args, at.sequence, head);
  float out[2][kDim / 8][4];
  clear(out);
  SoftmaxRows<2> rows;

  const int n_steps = (at.length + kKeys - 1) / kKeys;
  for (int step = 0; step < n_steps; ++step) {
    wait_for_copies();
    __syncthreads();  // this step's tiles are there; nobody reads the other stage any more
    if (step + 1 < n_steps) load_keys(step + 1);
    if (!working) continue;
    const uint32_t k_tile = stages + step % 2 * (2 * kKeys * kRow);
    float s[2][kKeys / 8][4];
    clear(s);
    multiply_rows<T, kDim>(s, q_tile + warp_row * kRow + lane.rows(kRow),
                           k_tile + lane.columns(kRow));
    if (step + 1 == n_steps) mask_columns(s, lane.t, at.length - step * kKeys);
    softmax_step(rows, s, out, factor);
    const uint32_t v_tile = k_tile + kKeys * kRow + lane.rows(kRow);
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
      if constexpr (kDropout) {
        drop_columns(s, k, draw, args.threshold, at.begin + warp_row + lane.g,
                     (step * kKeys + k * 16) / 4 + lane.t);
      }
      uint32_t p[2][4];
      pack_columns<T>(p, s, k);
      multiply_columns<T, kDim>(out, p, v_tile + k * 16 * kRow);
    }
  }
  if (!working) return;

  float inverse[2][2];
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = rows.sum[m][half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      inverse[m][half] = (kDropout ? args.keep_scale : 1.0f) / sum;
      const int row = at.begin + warp_row + m * 16 + half * 8 + lane.g;
      if (lane.t == 0 && row < at.length) {
        args.lse[(at.first_row + row) * args.lse_stride + head] =
            rows.maximum[m][half] * args.scale + logf(sum);
      }
    }
  }
  // Through the warp's own rows of the tile of Q, which no other warp reads.
  char* rows_tile = tiles + warp_row * kRow;
  __syncwarp();
  fragments_to_tile<T, kDim>(rows_tile, lane, out,
                             [&](int m, int half) { return inverse[m][half]; });
  __syncwarp();
  T* to = static_cast<T*>(args.out) + at.first_row * args.out_stride + head * args.head_dim;
  store_rows<32, kDim>(rows_tile, to, args.out_stride, args.head_dim, at.begin + warp_row,
                       at.length, InOrder{});
}

template <class T, int kDim>
void launch_forward(Context& ctx, const AttentionArgs& args, int64_t n_tokens) {
  using Tiles = ForwardTiles<kDim>;
  const int64_t n_blocks =
      attention_slots(n_tokens, args.n_sequences, Tiles::kQueries) * args.n_heads;
  launch(ctx, "attention_forward",
         args.dropout ? attention_forward_kernel<T, kDim, true>
                      : attention_forward_kernel<T, kDim, false>,
         dim3(static_cast<unsigned>(n_blocks)), dim3(Tiles::kThreads), Tiles::kBytes, args);
}

}  // namespace qe::cuda
