// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Attention, backward, on tensor cores, without atomics: every sum has one owner and one order.
//
// With P = exp(scale S - lse), dP = dO V^T and D = rowsum(dO o O):
//   dV = P^T dO,   dS = P o (dP - D),   dK = scale dS^T Q,   dQ = scale dS K.
// One kernel, three passes over it (the knob kPass):
//   kQueries  a block owns queries and walks over keys:   S, dP, dQ (3 products); also makes D
//   kKeys     a block owns keys and walks over queries:   S^T, dP^T, dV, dK (4 products)
//   kAll      a block owns all keys of a sequence of at most 128 tokens: the five products at once
// Longer sequences take kQueries, then kKeys: seven products where five would do, but no fp32
// buffer of dQ, no zero-fill, no atomics and no conversion. Which way a sequence goes is decided by
// its own length on the device, so it gives the same bits in any company.
//
// All passes see "resident" rows X1, X2 (kQueries: Q, dO; else K, V) against "streamed" columns Y1,
// Y2 (kQueries: K, V; else Q, dO) in a double buffer:
//   S = X1 Y1^T, dP = X2 Y2^T;  first += dS Y1 (dQ or dK), second += P Y2 (dV)
// so that P and dS are A operands straight from the registers they were made in. Only dQ of kAll
// needs dS the other way round: 16-bit, through shared memory.
//
// A warp owns 32 rows (16 where the head is so wide that two accumulators of 32 rows would not fit
// into registers). Dropout: one thread holds the four keys of each Philox call, by the order in
// which keys are stored in shared memory (QuadsInColumns where keys are columns, QuadsInRows where
// they are rows; with 16 rows two threads share two calls). Where memory allows, kQueries leaves
// its decisions as bits for kKeys (d = 64, s = 512, p = 0.1 on an H100: 644 us instead of 682). The
// factor 1 / (1 - p) is left out of P and dP, and put into D and the final factors instead.

#include "kernels/cuda/attention_args.cuh"
#include "kernels/cuda/attention_forward.cuh"
#include "kernels/cuda/attention_mma.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {

enum class AttentionPass { kQueries, kKeys, kAll };

template <int kDim, AttentionPass kPass>
struct BackwardTiles {
  static constexpr int kThreads = 128;
  static constexpr int kWarpRows = kDim > 80 ? 16 : 32;
  static constexpr int kRows = 4 * kWarpRows;
  static constexpr int kColumns = kPass == AttentionPass::kKeys && kDim == 80 ? 16 : 32;
  // On a multiprocessor, at least. (kQueries, d = 64, s = 512, no dropout, on an H100: all of
  // backward takes 469 us, with two 499.)
  static constexpr int kBlocks = kPass == AttentionPass::kQueries && kDim <= 64 ? 3 : 2;
  static constexpr int kTiles = (2 * kRows + 4 * kColumns) * row_bytes(kDim);
  // kAll: dS of one step as rows of keys. kAll, kKeys: lse and D of queries, kAll of all of them.
  static constexpr int kScores = kPass == AttentionPass::kAll ? kRows * row_bytes(kColumns) : 0;
  static constexpr int kQueriesKept = kPass == AttentionPass::kKeys ? 2 * kColumns : kRows;
  // kKeys: the drops of each warp's keys, two stages.
  static constexpr int kDrops = kPass == AttentionPass::kKeys ? 2 * 4 * kColumns : 0;
  static constexpr int kBytes = kTiles + kScores + (2 * kQueriesKept + kDrops) * int{sizeof(float)};
};

/// sum of a * b over a row of at most kDim columns, by the lanes of a group that has one 16-byte
/// chunk each.
template <int kDim>
constexpr int kDotLanes = kDim <= 16   ? 2
                          : kDim <= 32 ? 4
                          : kDim <= 64 ? 8
                                       : 16;

template <class T>
__device__ inline float dot_chunk(const T* a, const T* b) {
  float x[8], y[8];
  load_pack(a, x);
  load_pack(b, y);
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < 8; ++i) sum = fmaf(x[i], y[i], sum);
  return sum;
}

/// dots[r] = (1 - p) * sum of d_out * out over the head's columns, for the warp's kRows rows from
/// `begin` of the sequence on; 0 beyond it.
template <class T, int kDim, int kRows>
__device__ inline void row_dots(const AttentionArgs& args, const SequenceBlock& at, int head,
                                int begin, float* dots) {
  constexpr int kLanes = kDotLanes<kDim>;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int column = lane % kLanes * 8;
  const T* out = static_cast<const T*>(args.out) + head * args.head_dim + column;
  const T* d_out = static_cast<const T*>(args.d_out) + head * args.head_dim + column;
#pragma unroll 4
  for (int r = lane / kLanes; r < kRows; r += 32 / kLanes) {
    const int64_t row = at.first_row + begin + r;
    float sum = 0.0f;
    if (begin + r < at.length && column < args.head_dim) {
      sum = dot_chunk(out + row * args.out_stride, d_out + row * args.d_out_stride);
    }
#pragma unroll
    for (int i = kLanes / 2; i > 0; i /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, i);
    if (lane % kLanes == 0) dots[r] = sum / args.keep_scale;
  }
}

/// lse in base 2; infinity for queries beyond the sequence, whose probabilities then are 0.
__device__ inline float lse_of(const AttentionArgs& args, const SequenceBlock& at, int head,
                               int query) {
  if (query >= at.length) return kInfinity;
  return args.lse[(at.first_row + query) * args.lse_stride + head] * kLog2E;
}

/// Zeros the dropped of p and dp where rows are keys in the order QuadsInRows: fragments of columns
/// 8 n .. 8 n + 7, `query` the thread's first column of them, `first_key` the warp's first.
template <int kM>
__device__ inline void drop_rows(float (&p)[kM][4], float (&dp)[kM][4], const AttentionDraw& draw,
                                 uint32_t threshold, int query, int first_key, int g) {
  if constexpr (kM == 2) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const Philox4 word =
          draw(static_cast<uint32_t>(query + i), static_cast<uint32_t>(first_key / 4 + g));
      if (word.x < threshold) p[0][i] = 0.0f, dp[0][i] = 0.0f;
      if (word.y < threshold) p[0][i + 2] = 0.0f, dp[0][i + 2] = 0.0f;
      if (word.z < threshold) p[1][i] = 0.0f, dp[1][i] = 0.0f;
      if (word.w < threshold) p[1][i + 2] = 0.0f, dp[1][i + 2] = 0.0f;
    }
  } else {
    // Threads g and g ^ 1 have two keys each of the same quad, for two queries: each draws for one
    // query, and they swap what they decided.
    const int odd = g % 2;
    const Philox4 word =
        draw(static_cast<uint32_t>(query + odd), static_cast<uint32_t>(first_key / 4 + g / 2));
    const unsigned mine = (word.x < threshold ? 1u : 0u) | (word.y < threshold ? 2u : 0u) |
                          (word.z < threshold ? 4u : 0u) | (word.w < threshold ? 8u : 0u);
    const unsigned other = __shfl_xor_sync(0xffffffffu, mine, 4);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const unsigned drop = (i == odd ? mine : other) >> (2 * odd);
      if (drop & 1u) p[0][i] = 0.0f, dp[0][i] = 0.0f;
      if (drop & 2u) p[0][i + 2] = 0.0f, dp[0][i + 2] = 0.0f;
    }
  }
}

/// The words of AttentionArgs::drops for 32 keys from `key` on; add the row of the query.
__device__ inline uint32_t* drop_words(const AttentionArgs& args, int head, int key) {
  return args.drops + (int64_t{head} * args.drop_words + key / 32) * args.n_tokens;
}

/// Writes the words of 32 keys from `key` on for a warp's queries from `query` on, each thread
/// holding the bits of its own four keys in 16.
template <int kM>
__device__ inline void store_drops(const AttentionArgs& args, const SequenceBlock& at, int head,
                                   const Lane& lane, int key, int query,
                                   const uint32_t (&dropped)[kM][2]) {
  uint32_t* words = drop_words(args, head, key) + at.first_row;
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t word = dropped[m][half];
      word |= __shfl_xor_sync(0xffffffffu, word, 1);
      word |= __shfl_xor_sync(0xffffffffu, word, 2);
      const int row = query + m * 16 + half * 8 + lane.g;
      if (lane.t == 2 * m + half && row < at.length) words[row] = word;
    }
  }
}

/// Zeros the dropped of p and dp as drop_rows does, by the words of two queries. `first_key`: the
/// warp's first, in the sequence.
template <int kM>
__device__ inline void drop_known_rows(float (&p)[kM][4], float (&dp)[kM][4], uint2 words,
                                       int first_key, int g) {
  const int shift = first_key % 32 + 2 * kM * g;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint32_t drop = (i == 0 ? words.x : words.y) >> shift;
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      if (drop & (1u << (2 * m))) p[m][i] = 0.0f, dp[m][i] = 0.0f;
      if (drop & (2u << (2 * m))) p[m][i + 2] = 0.0f, dp[m][i + 2] = 0.0f;
    }
  }
}

/// dQ of one step of kAll: scores (128 keys in tile order, kQueries) transposed, times K. Warps
/// share it by 16 queries and half of the columns.
template <class T, int kDim, int kQueries>
__device__ inline void queries_of_step(const AttentionArgs& args, const SequenceBlock& at, int head,
                                       const Lane& lane, uint32_t scores, uint32_t k_tile,
                                       int first_query, float factor) {
  constexpr int kParts = kDim >= 32 ? 2 : 1;
  constexpr int kColumns = kDim / kParts;
  constexpr int kScoreRow = row_bytes(kQueries);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int query_tile = warp / kParts;
  if (query_tile >= kQueries / 16) return;
  const int column = warp % kParts * kColumns;
  float c[1][kColumns / 8][4];
  clear(c);
  const int n_groups = (at.length + 31) / 32;  // of 32 keys, in any order inside
  for (int k = 0; k < 2 * n_groups; ++k) {
    uint32_t left[1][4];
    load_transposed(left[0],
                    scores + k * 16 * kScoreRow + lane.columns(kScoreRow) + query_tile * 32);
    multiply_columns<T, kColumns>(
        c, left, k_tile + k * 16 * row_bytes(kDim) + lane.rows(row_bytes(kDim)) + column * 2);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int query = first_query + query_tile * 16 + half * 8 + lane.g;
    if (query >= at.length) continue;
    T* to = static_cast<T*>(args.d_qkv) + (at.first_row + query) * args.d_qkv_stride +
            head * args.head_dim;
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      const int at_column = column + n * 8 + lane.t * 2;
      if (at_column < args.head_dim) {
        *reinterpret_cast<uint32_t*>(to + at_column) =
            pack2<T>(c[0][n][2 * half] * factor, c[0][n][2 * half + 1] * factor);
      }
    }
  }
}

template <class T, int kDim, AttentionPass kPass>
__global__ void __launch_bounds__(BackwardTiles<kDim, kPass>::kThreads,
                                  BackwardTiles<kDim, kPass>::kBlocks)
    attention_backward_kernel(const AttentionArgs args) {
  using Tiles = BackwardTiles<kDim, kPass>;
  constexpr int kRow = row_bytes(kDim);
  constexpr int kColumns = Tiles::kColumns;
  constexpr int kM = Tiles::kWarpRows / 16;
  constexpr int kN = kColumns / 8;
  constexpr bool kByQueries = kPass == AttentionPass::kQueries;
  constexpr bool kAll = kPass == AttentionPass::kAll;
  extern __shared__ __align__(16) char tiles[];

  const int head = static_cast<int>(blockIdx.x) % args.n_heads;
  const int slot = static_cast<int>(blockIdx.x) / args.n_heads;
  SequenceBlock at;
  if constexpr (kAll) {
    const int first_row = args.cu_seqlens[slot];
    at = {slot, first_row, args.cu_seqlens[slot + 1] - first_row, 0};
    if (at.length == 0 || at.length > args.short_length) return;
  } else {
    at = find_block<Tiles::kRows>(args, slot);
    if (at.begin >= at.length || at.length <= args.short_length) return;
  }
  const int64_t part = int64_t{args.n_heads} * args.head_dim;
  const int head_column = head * args.head_dim;
  const T* q = static_cast<const T*>(args.qkv) + at.first_row * args.qkv_stride + head_column;
  const T* d_out =
      static_cast<const T*>(args.d_out) + at.first_row * args.d_out_stride + head_column;

  const uint32_t x1_tile = shared_address(tiles);
  const uint32_t x2_tile = x1_tile + Tiles::kRows * kRow;
  const uint32_t stages = x2_tile + Tiles::kRows * kRow;
  const uint32_t scores = x1_tile + Tiles::kTiles;
  float* lse = reinterpret_cast<float*>(tiles + Tiles::kTiles + Tiles::kScores);
  float* dots = lse + Tiles::kQueriesKept;
  uint32_t* drops = reinterpret_cast<uint32_t*>(dots + Tiles::kQueriesKept);

  const auto load = [&](auto n_rows, uint32_t tile, bool of_d_out, int which, int begin,
                        const auto& order) {
    load_tile<n_rows.value, kDim, Tiles::kThreads>(tile, of_d_out ? d_out : q + which * part,
                                                   of_d_out ? args.d_out_stride : args.qkv_stride,
                                                   args.head_dim, begin, at.length, order);
  };
  const auto load_columns = [&](int step) {
    const uint32_t y1_tile = stages + step % 2 * (2 * kColumns * kRow);
    const std::integral_constant<int, kColumns> n;
    if constexpr (kByQueries) {
      load(n, y1_tile, false, 1, step * kColumns, QuadsInColumns{});
      load(n, y1_tile + kColumns * kRow, false, 2, step * kColumns, QuadsInColumns{});
    } else {
      load(n, y1_tile, false, 0, step * kColumns, InOrder{});
      load(n, y1_tile + kColumns * kRow, true, 0, step * kColumns, InOrder{});
    }
  };
  const std::integral_constant<int, Tiles::kRows> n_rows;
  if constexpr (kByQueries) {
    load(n_rows, x1_tile, false, 0, at.begin, InOrder{});
    load(n_rows, x2_tile, true, 0, at.begin, InOrder{});
  } else {
    load(n_rows, x1_tile, false, 1, at.begin, QuadsInRows<Tiles::kWarpRows>{});
    load(n_rows, x2_tile, false, 2, at.begin, QuadsInRows<Tiles::kWarpRows>{});
  }
  load_columns(0);

  const Lane lane;
  const int thread = static_cast<int>(threadIdx.x);
  const int warp_row = thread / 32 * Tiles::kWarpRows;
  const bool working = at.begin + warp_row < at.length;
  const float factor = args.scale * kLog2E;
  AttentionDraw draw;
  if (args.dropout) draw = attention_draw(args, at.sequence, head);

  // D and lse of the queries: of all of them, of the first step's, or of this thread's rows.
  float row_lse[kM][2], row_dot[kM][2];
  const bool drops_known = kPass == AttentionPass::kKeys && args.drops != nullptr;
  // The word of a step's query for the keys of one warp: one for each thread.
  const auto load_drops = [&](int step) {
    const int query = step * kColumns + thread % kColumns;
    const int key = at.begin + thread / kColumns * Tiles::kWarpRows;
    if (!drops_known || thread >= 4 * kColumns || query >= at.length || key >= at.length) return 0u;
    return drop_words(args, head, key)[at.first_row + query];
  };
  if constexpr (kPass == AttentionPass::kKeys) {
    if (thread < 4 * kColumns) drops[thread] = load_drops(0);
    if (thread < kColumns) {
      lse[thread] = lse_of(args, at, head, thread);
      dots[thread] = thread < at.length
                         ? args.row_dots[int64_t{at.first_row + thread} * args.n_heads + head]
                         : 0.0f;
    }
  } else {
    row_dots<T, kDim, Tiles::kWarpRows>(args, at, head, at.begin + warp_row, dots + warp_row);
    if constexpr (kAll) {
      lse[thread] = lse_of(args, at, head, thread);
    } else {
      __syncwarp();
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = warp_row + m * 16 + half * 8 + lane.g;
          row_lse[m][half] = lse_of(args, at, head, at.begin + row);
          row_dot[m][half] = dots[row];
        }
      }
      const int row = warp_row + thread % 32;
      if (thread % 32 < Tiles::kWarpRows && at.begin + row < at.length) {
        args.row_dots[int64_t{at.first_row + at.begin + row} * args.n_heads + head] = dots[row];
      }
    }
  }

  float first[kM][kDim / 8][4];                    // dQ or dK
  float second[kM][kByQueries ? 1 : kDim / 8][4];  // dV
  clear(first);
  clear(second);
  const int n_steps = (at.length + kColumns - 1) / kColumns;
  for (int step = 0; step < n_steps; ++step) {
    wait_for_copies();
    __syncthreads();  // this step's tiles are there; nobody reads the other stage any more
    float next_lse = 0.0f, next_dot = 0.0f;
    uint32_t next_drops = 0;
    if (step + 1 < n_steps) {
      load_columns(step + 1);
      if constexpr (kPass == AttentionPass::kKeys) {
        const int query = (step + 1) * kColumns + thread;
        next_drops = load_drops(step + 1);
        if (thread < kColumns) {
          next_lse = lse_of(args, at, head, query);
          if (query < at.length) {
            next_dot = args.row_dots[int64_t{at.first_row + query} * args.n_heads + head];
          }
        }
      }
    }
    const int stage = step % 2;
    uint32_t dropped[kM][2] = {};  // kQueries: of this thread's rows
    const uint32_t y1_tile = stages + stage * (2 * kColumns * kRow);
    const uint32_t y2_tile = y1_tile + kColumns * kRow;
    if (working) {
      float p[kN][kM][4], dp[kN][kM][4];
      {
        float s[kM][kN][4];
        clear(s);
        multiply_rows<T, kDim>(s, x1_tile + warp_row * kRow + lane.rows(kRow),
                               y1_tile + lane.columns(kRow));
        if constexpr (kByQueries) {
          if (step + 1 == n_steps) mask_columns(s, lane.t, at.length - step * kColumns);
        }
        float d[kM][kN][4];
        clear(d);
        multiply_rows<T, kDim>(d, x2_tile + warp_row * kRow + lane.rows(kRow),
                               y2_tile + lane.columns(kRow));
#pragma unroll
        for (int n = 0; n < kN; ++n) {
#pragma unroll
          for (int m = 0; m < kM; ++m) {
#pragma unroll
            for (int i = 0; i < 4; ++i) p[n][m][i] = s[m][n][i], dp[n][m][i] = d[m][n][i];
          }
        }
      }
      // Probabilities and the gradients of scores, 16 columns at a time.
      const int kept = (kAll ? step : stage) * kColumns;
#pragma unroll
      for (int k = 0; k < kN / 2; ++k) {
        float kept_p[kM][2][4], ds[kM][2][4];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int n = 2 * k + j;
          float2 column_lse{}, column_dot{};
          if constexpr (!kByQueries) {
            column_lse = *reinterpret_cast<const float2*>(lse + kept + n * 8 + lane.t * 2);
            column_dot = *reinterpret_cast<const float2*>(dots + kept + n * 8 + lane.t * 2);
          }
#pragma unroll
          for (int m = 0; m < kM; ++m) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              const float offset = kByQueries ? row_lse[m][i / 2]
                                   : i % 2    ? column_lse.y
                                              : column_lse.x;
              p[n][m][i] = exp2_fast(fmaf(p[n][m][i], factor, -offset));
              if constexpr (kAll) {  // keys beyond the sequence would reach dQ
                const int key = warp_row + lane.g * 4 + m * 2 + i / 2;
                if (key >= at.length) p[n][m][i] = 0.0f;
              }
            }
          }
          float whole[kM][4];
#pragma unroll
          for (int m = 0; m < kM; ++m) {
#pragma unroll
            for (int i = 0; i < 4; ++i) whole[m][i] = p[n][m][i];
          }
          if constexpr (!kByQueries) {
            if (drops_known) {
              const uint32_t* of_step =
                  drops + (stage * 4 + thread / 32) * kColumns + n * 8 + lane.t * 2;
              drop_known_rows(p[n], dp[n], *reinterpret_cast<const uint2*>(of_step),
                              at.begin + warp_row, lane.g);
            } else if (args.dropout) {
              drop_rows(p[n], dp[n], draw, args.threshold, step * kColumns + n * 8 + lane.t * 2,
                        at.begin + warp_row, lane.g);
            }
          } else if (j == 0 && args.dropout) {
            // The decisions of both halves of 16 columns, on dp alone: P itself is not needed.
#pragma unroll
            for (int m = 0; m < kM; ++m) {
#pragma unroll
              for (int half = 0; half < 2; ++half) {
                const Philox4 word =
                    draw(static_cast<uint32_t>(at.begin + warp_row + m * 16 + half * 8 + lane.g),
                         static_cast<uint32_t>((step * kColumns + k * 16) / 4 + lane.t));
                uint32_t bits = 0;
                if (word.x < args.threshold) dp[n][m][2 * half] = 0.0f, bits |= 1;
                if (word.y < args.threshold) dp[n][m][2 * half + 1] = 0.0f, bits |= 2;
                if (word.z < args.threshold) dp[n + 1][m][2 * half] = 0.0f, bits |= 4;
                if (word.w < args.threshold) dp[n + 1][m][2 * half + 1] = 0.0f, bits |= 8;
                dropped[m][half] |= bits << (k * 16 + lane.t * 4);
              }
            }
          }
#pragma unroll
          for (int m = 0; m < kM; ++m) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              const float dot = kByQueries ? row_dot[m][i / 2]
                                : i % 2    ? column_dot.y
                                           : column_dot.x;
              kept_p[m][j][i] = p[n][m][i];
              ds[m][j][i] = whole[m][i] * (dp[n][m][i] - dot);
            }
          }
        }
        uint32_t left[kM][4];
        if constexpr (!kByQueries) {
          pack_columns<T>(left, kept_p, 0);
          multiply_columns<T, kDim>(second, left, y2_tile + k * 16 * kRow + lane.rows(kRow));
        }
        pack_columns<T>(left, ds, 0);
        multiply_columns<T, kDim>(first, left, y1_tile + k * 16 * kRow + lane.rows(kRow));
        if constexpr (kAll) {
#pragma unroll
          for (int m = 0; m < kM; ++m) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {  // A fragment i: rows g (+ 8), columns 2t (+ 8)
              const int row = warp_row + m * 16 + i % 2 * 8 + lane.g;
              const int column = k * 16 + i / 2 * 8 + lane.t * 2;
              *reinterpret_cast<uint32_t*>(tiles + Tiles::kTiles + row * row_bytes(kColumns) +
                                           column * 2) = left[m][i];
            }
          }
        }
      }
    }
    if constexpr (kByQueries) {
      if (working && args.drops != nullptr) {
        store_drops(args, at, head, lane, step * kColumns, at.begin + warp_row, dropped);
      }
    }
    if constexpr (kAll) {
      __syncthreads();
      queries_of_step<T, kDim, kColumns>(args, at, head, lane, scores, x1_tile, step * kColumns,
                                         args.scale * args.keep_scale);
    }
    if constexpr (kPass == AttentionPass::kKeys) {
      if (step + 1 < n_steps && thread < kColumns) {
        lse[(1 - stage) * kColumns + thread] = next_lse;
        dots[(1 - stage) * kColumns + thread] = next_dot;
      }
      if (thread < 4 * kColumns) drops[(1 - stage) * 4 * kColumns + thread] = next_drops;
    }
  }
  if constexpr (kAll) __syncthreads();  // dQ of the last step reads all of K
  if (!working) return;

  // Through the warp's own rows of X1 and X2, which no other warp reads.
  __syncwarp();
  char* first_rows = tiles + warp_row * kRow;
  char* second_rows = first_rows + Tiles::kRows * kRow;
  const float first_factor = args.scale * args.keep_scale;
  fragments_to_tile<T, kDim>(first_rows, lane, first, [&](int, int) { return first_factor; });
  if constexpr (!kByQueries) {
    fragments_to_tile<T, kDim>(second_rows, lane, second,
                               [&](int, int) { return args.keep_scale; });
  }
  __syncwarp();
  T* d_q = static_cast<T*>(args.d_qkv) + at.first_row * args.d_qkv_stride + head_column;
  const int begin = at.begin + warp_row;
  if constexpr (kByQueries) {
    store_rows<Tiles::kWarpRows, kDim>(first_rows, d_q, args.d_qkv_stride, args.head_dim, begin,
                                       at.length, InOrder{});
  } else {
    const QuadsInRows<Tiles::kWarpRows> order;
    store_rows<Tiles::kWarpRows, kDim>(first_rows, d_q + part, args.d_qkv_stride, args.head_dim,
                                       begin, at.length, order);
    store_rows<Tiles::kWarpRows, kDim>(second_rows, d_q + 2 * part, args.d_qkv_stride,
                                       args.head_dim, begin, at.length, order);
  }
}

template <class T, int kDim, AttentionPass kPass>
void launch_backward(Context& ctx, const AttentionArgs& args, int64_t n_tokens) {
  using Tiles = BackwardTiles<kDim, kPass>;
  const int64_t n_blocks =
      (kPass == AttentionPass::kAll ? args.n_sequences
                                    : attention_slots(n_tokens, args.n_sequences, Tiles::kRows)) *
      args.n_heads;
  launch(ctx, "attention_backward", attention_backward_kernel<T, kDim, kPass>,
         dim3(static_cast<unsigned>(n_blocks)), dim3(Tiles::kThreads), Tiles::kBytes, args);
}

}  // namespace qe::cuda
