// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Attention without tensor cores: plain fp32 fused multiply-adds, for any head size up to 256 and
// any alignment. It is what fp32 computes with (no TF32: the answers are the CPU's to 1e-5), and
// what 16-bit types use where the other kernels cannot: windows, biases, shared heads of keys, odd
// head sizes, unaligned rows, sm_75.
//
// A warp owns one row (a query; in the pass over keys, a key), a block eight of the same sequence
// and head. The other side comes through shared memory, 32 rows at a time, as fp32. A lane scores
// one of the 32; then the lanes are columns, and the 32 scores are handed round by shuffles. Each
// sum has one owner and ascending order. Backward is two passes, over queries (dQ and D), then over
// keys (dK and dV), which makes P twice and needs no atomics.

#include <algorithm>

#include "kernels/core/philox.h"
#include "kernels/cuda/attention_simt.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kOthers = 32;  // rows of the other side at a time: one for each lane
constexpr int kParts = kMaxSimtDim / 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Shared memory: two tiles of the other side, rows padded by one so that lanes reading down a
// column meet no bank twice; then two own rows for each warp.
struct Tiles {
  int row;
  float *first, *second, *own_first, *own_second;

  __device__ Tiles(float* memory, int dim)
      : row(dim + 1),
        first(memory),
        second(first + kOthers * row),
        own_first(second + kOthers * row + static_cast<int>(threadIdx.x) / 32 * 2 * dim),
        own_second(own_first + dim) {}
};
size_t tile_bytes(int dim) {
  return static_cast<size_t>(2 * kOthers * (dim + 1) + 2 * kWarps * dim) * sizeof(float);
}

__device__ float warp_sum(float x) {
  for (int i = 16; i > 0; i /= 2) x += __shfl_xor_sync(kAllLanes, x, i);
  return x;
}
__device__ float warp_max(float x) {
  for (int i = 16; i > 0; i /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, i));
  return x;
}

// The head's columns of one row.
template <class T>
__device__ void load_own(float* to, const T* row, int dim, bool inside) {
  for (int d = static_cast<int>(threadIdx.x % 32); d < dim; d += 32) {
    to[d] = inside ? to_float(row[d]) : 0.0f;
  }
}

// Rows begin .. begin + 31 of a (length, dim) matrix; zeros beyond.
template <class T>
__device__ void load_others(float* tile, const T* matrix, int64_t stride, int dim, int begin,
                            int length) {
  for (int i = static_cast<int>(threadIdx.x); i < kOthers * dim; i += kWarps * 32) {
    const int row = i / dim;
    const int d = i % dim;
    tile[row * (dim + 1) + d] =
        begin + row < length ? to_float(matrix[(begin + row) * stride + d]) : 0.0f;
  }
}

__device__ float dot(const float* a, const float* b, int dim) {
  float sum = 0.0f;
  for (int d = 0; d < dim; ++d) sum = fmaf(a[d], b[d], sum);
  return sum;
}

// sums[part] += weight of each of the 32 rows times its columns.
__device__ void add_rows(float (&sums)[kParts], float weight, const float* tile, int dim) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int j = 0; j < kOthers; ++j) {
    const float w = __shfl_sync(kAllLanes, weight, j);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int d = part * 32 + lane;
      if (d < dim) sums[part] = fmaf(w, tile[j * (dim + 1) + d], sums[part]);
    }
  }
}

template <class T>
__device__ void store_own(T* row, const float (&sums)[kParts], float factor, int dim) {
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
    const int d = part * 32 + static_cast<int>(threadIdx.x % 32);
    if (d < dim) row[d] = from_float<T>(sums[part] * factor);
  }
}

// Where a warp works, and its matrices: `head` counts those of queries, or in the pass over keys
// those of keys.
template <class T>
struct Work {
  int head;
  SequenceBlock at;
  int row;  // of the warp, in the sequence
  bool inside;
  const T *q, *k, *v, *d_out;  // q and d_out of `query_head`
  int query_head, group;       // the first query head, and how many read the same keys
  int64_t k_column, v_column;  // in qkv
  int low, high;               // the other side's rows that the block sees

  __device__ Work(const AttentionArgs& args, bool over_keys)
      : group(args.n_heads / args.n_kv_heads) {
    const int n_heads = over_keys ? args.n_kv_heads : args.n_heads;
    head = static_cast<int>(blockIdx.x) % n_heads;
    at = find_block<kWarps>(args, static_cast<int>(blockIdx.x) / n_heads);
    row = at.begin + static_cast<int>(threadIdx.x) / 32;
    inside = row < at.length;
    query_head = over_keys ? head * group : head;
    const int kv_head = over_keys ? head : head / group;
    k_column = int64_t{args.n_heads + kv_head} * args.head_dim;
    v_column = k_column + int64_t{args.n_kv_heads} * args.head_dim;
    const T* qkv = static_cast<const T*>(args.qkv) + at.first_row * args.qkv_stride;
    k = qkv + k_column;
    v = qkv + v_column;
    q = qkv + int64_t{query_head} * args.head_dim;
    d_out = static_cast<const T*>(args.d_out) + at.first_row * args.d_out_stride +
            int64_t{query_head} * args.head_dim;
    low = args.window == 0 ? 0 : max(0, at.begin - args.window);
    high = args.window == 0 ? at.length : min(at.length, at.begin + kWarps + args.window);
  }
  __device__ int64_t head_column(const AttentionArgs& args) const {
    return int64_t{query_head} * args.head_dim;
  }
  __device__ void next_query_head(const AttentionArgs& args) {
    ++query_head;
    q += args.head_dim;
    d_out += args.head_dim;
  }
};

// The score of a product of query and key; -infinity outside of the window, and of warps whose row
// is past the sequence's end.
__device__ float score_of(const AttentionArgs& args, const SequenceBlock& at, int head, int query,
                          int key, float product) {
  const bool inside = query < at.length && key < at.length;
  if (!inside || (args.window > 0 && abs(query - key) > args.window)) return -__builtin_huge_valf();
  float score = product * args.scale;
  if (args.relative_bias != nullptr) {
    score += args.relative_bias[head * args.bias_stride + query - key];
  }
  if (args.query_terms != nullptr) {
    const int64_t column =
        int64_t{head} * args.n_distance_columns + args.distance_columns[query - key];
    score += args.query_terms[(at.first_row + query) * args.query_terms_stride + column] +
             args.key_terms[(at.first_row + key) * args.key_terms_stride + column];
  }
  return score;
}

// Adds each lane's d_score to its column of a row that the warp owns. Columns of ascending lanes
// are monotonic, so equal ones stand side by side: the first lane of such a run adds its sum, in
// the order of the lanes.
__device__ void add_term_gradients(float* row, int column, float d_score, bool valid) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int own = valid ? column : -1;
  const int before = __shfl_up_sync(kAllLanes, own, 1);
  const bool first = lane == 0 || before != own;
  const unsigned firsts = __ballot_sync(kAllLanes, first);
  float sum = 0.0f;
  for (int i = 0; i < 32; ++i) {
    const float d = __shfl_sync(kAllLanes, d_score, i);
    // The run that lane i belongs to begins at the last first lane up to i.
    const int begin = 31 - __clz(firsts & (0xffffffffu >> (31 - i)));
    if (begin == lane) sum += d;
  }
  if (first && valid) row[column] += sum;
}

// 0 or 1 / (1 - p).
__device__ float keep(const AttentionArgs& args, const SequenceBlock& at, int head, int query,
                      int key) {
  if (!args.dropout) return 1.0f;
  const Philox4 word =
      philox4x32(philox_key(args.step->seed, RandomPurpose::kAttentionDropout),
                 philox_counter(args.sample_ids[at.sequence], args.step->epoch, args.layer,
                                static_cast<uint32_t>(head), static_cast<uint32_t>(query),
                                static_cast<uint32_t>(key) / 4));
  const uint32_t bits = key % 4 == 0   ? word.x
                        : key % 4 == 1 ? word.y
                        : key % 4 == 2 ? word.z
                                       : word.w;
  return bits < args.threshold ? 0.0f : args.keep_scale;
}

template <class T>
__global__ void attention_forward_simt_kernel(const AttentionArgs args) {
  extern __shared__ float memory[];
  const Work<T> work(args, false);
  if (work.at.begin >= work.at.length) return;
  const int dim = args.head_dim;
  const Tiles tiles(memory, dim);
  const int lane = static_cast<int>(threadIdx.x % 32);
  load_own(tiles.own_first, work.q + work.row * args.qkv_stride, dim, work.inside);
  float sums[kParts] = {};
  float top = -__builtin_huge_valf();
  float total = 0.0f;
  for (int begin = work.low; begin < work.high; begin += kOthers) {
    __syncthreads();
    load_others(tiles.first, work.k, args.qkv_stride, dim, begin, work.at.length);
    load_others(tiles.second, work.v, args.qkv_stride, dim, begin, work.at.length);
    __syncthreads();
    const int key = begin + lane;
    const float score = key < work.at.length
                            ? score_of(args, work.at, work.head, work.row, key,
                                       dot(tiles.own_first, tiles.first + lane * tiles.row, dim))
                            : -__builtin_huge_valf();
    const float new_top = fmaxf(top, warp_max(score));
    const float rescale = expf(top - new_top);
    const float p = expf(score - new_top);
    top = new_top;
    total = total * rescale + warp_sum(p);
#pragma unroll
    for (int part = 0; part < kParts; ++part) sums[part] *= rescale;
    add_rows(sums, p * keep(args, work.at, work.head, work.row, key), tiles.second, dim);
  }
  if (!work.inside) return;
  const int64_t row = work.at.first_row + work.row;
  store_own(static_cast<T*>(args.out) + row * args.out_stride + work.head_column(args), sums,
            1.0f / total, dim);
  if (lane == 0) args.lse[row * args.lse_stride + work.head] = top + logf(total);
}

template <class T>
__global__ void attention_queries_simt_kernel(const AttentionArgs args) {
  extern __shared__ float memory[];
  const Work<T> work(args, false);
  if (work.at.begin >= work.at.length) return;
  const int dim = args.head_dim;
  const Tiles tiles(memory, dim);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t row = work.at.first_row + work.row;
  load_own(tiles.own_first, work.q + work.row * args.qkv_stride, dim, work.inside);
  load_own(tiles.own_second, work.d_out + work.row * args.d_out_stride, dim, work.inside);
  __syncwarp();
  float lse = 0.0f;
  float row_dot = 0.0f;
  if (work.inside) {
    lse = args.lse[row * args.lse_stride + work.head];
    const T* out = static_cast<const T*>(args.out) + row * args.out_stride + work.head_column(args);
    for (int d = lane; d < dim; d += 32) {
      row_dot = fmaf(tiles.own_second[d], to_float(out[d]), row_dot);
    }
    row_dot = warp_sum(row_dot);
    if (lane == 0) args.row_dots[row * args.n_heads + work.head] = row_dot;
  }
  float d_q[kParts] = {};
  for (int begin = work.low; begin < work.high; begin += kOthers) {
    __syncthreads();
    load_others(tiles.first, work.k, args.qkv_stride, dim, begin, work.at.length);
    load_others(tiles.second, work.v, args.qkv_stride, dim, begin, work.at.length);
    __syncthreads();
    const int key = begin + lane;
    float d_score = 0.0f;
    if (key < work.at.length) {
      const float p = expf(score_of(args, work.at, work.head, work.row, key,
                                    dot(tiles.own_first, tiles.first + lane * tiles.row, dim)) -
                           lse);
      const float dp = dot(tiles.own_second, tiles.second + lane * tiles.row, dim) *
                       keep(args, work.at, work.head, work.row, key);
      d_score = p * (dp - row_dot);
    }
    add_rows(d_q, d_score, tiles.first, dim);
    if (args.d_query_terms != nullptr) {
      const bool valid = key < work.at.length && work.inside;
      float* terms = args.d_query_terms + row * args.d_query_terms_stride +
                     int64_t{work.head} * args.n_distance_columns;
      add_term_gradients(terms, valid ? args.distance_columns[work.row - key] : 0, d_score, valid);
    }
  }
  if (!work.inside) return;
  store_own(static_cast<T*>(args.d_qkv) + row * args.d_qkv_stride + work.head_column(args), d_q,
            args.scale, dim);
}

template <class T>
__global__ void attention_keys_simt_kernel(const AttentionArgs args) {
  extern __shared__ float memory[];
  Work<T> work(args, true);
  if (work.at.begin >= work.at.length) return;
  const int dim = args.head_dim;
  const Tiles tiles(memory, dim);
  const int lane = static_cast<int>(threadIdx.x % 32);
  load_own(tiles.own_first, work.k + work.row * args.qkv_stride, dim, work.inside);
  load_own(tiles.own_second, work.v + work.row * args.qkv_stride, dim, work.inside);
  float d_k[kParts] = {};
  float d_v[kParts] = {};
  for (int i = 0; i < work.group; ++i) {
    for (int begin = work.low; begin < work.high; begin += kOthers) {
      __syncthreads();
      load_others(tiles.first, work.q, args.qkv_stride, dim, begin, work.at.length);
      load_others(tiles.second, work.d_out, args.d_out_stride, dim, begin, work.at.length);
      __syncthreads();
      const int query = begin + lane;
      float kept = 0.0f;
      float d_score = 0.0f;
      if (query < work.at.length && work.inside) {
        const int64_t row = work.at.first_row + query;
        const float p = expf(score_of(args, work.at, work.query_head, query, work.row,
                                      dot(tiles.own_first, tiles.first + lane * tiles.row, dim)) -
                             args.lse[row * args.lse_stride + work.query_head]);
        const float factor = keep(args, work.at, work.query_head, query, work.row);
        const float dp = dot(tiles.own_second, tiles.second + lane * tiles.row, dim) * factor;
        kept = p * factor;
        d_score = p * (dp - args.row_dots[row * args.n_heads + work.query_head]);
      }
      add_rows(d_v, kept, tiles.second, dim);
      add_rows(d_k, d_score, tiles.first, dim);
      if (args.d_key_terms != nullptr) {
        const bool valid = query < work.at.length && work.inside;
        float* terms = args.d_key_terms +
                       int64_t{work.at.first_row + work.row} * args.d_key_terms_stride +
                       int64_t{work.query_head} * args.n_distance_columns;
        add_term_gradients(terms, valid ? args.distance_columns[query - work.row] : 0, d_score,
                           valid);
      }
    }
    work.next_query_head(args);
  }
  if (!work.inside) return;
  T* to = static_cast<T*>(args.d_qkv) + (work.at.first_row + work.row) * args.d_qkv_stride;
  store_own(to + work.k_column, d_k, args.scale, dim);
  store_own(to + work.v_column, d_v, 1.0f, dim);
}

template <class Kernel>
void run(Context& ctx, const char* name, Kernel kernel, const AttentionArgs& args, int n_heads,
         int64_t n_tokens) {
  QE_CHECK(args.head_dim <= kMaxSimtDim, name, ": expected head_dim up to ", kMaxSimtDim, ", got ",
           args.head_dim);
  const int64_t n_blocks = attention_slots(n_tokens, args.n_sequences, kWarps) * n_heads;
  launch(ctx, name, kernel, dim3(static_cast<unsigned>(n_blocks)), dim3(kWarps * 32),
         tile_bytes(args.head_dim), args);
}

}  // namespace

void attention_forward_simt(Context& ctx, const AttentionArgs& args, DType dtype,
                            int64_t n_tokens) {
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run(ctx, "attention_forward", attention_forward_simt_kernel<T>, args, args.n_heads, n_tokens);
  });
}

void attention_backward_simt(Context& ctx, const AttentionArgs& args, DType dtype,
                             int64_t n_tokens) {
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    run(ctx, "attention_backward", attention_queries_simt_kernel<T>, args, args.n_heads, n_tokens);
    run(ctx, "attention_backward", attention_keys_simt_kernel<T>, args, args.n_kv_heads, n_tokens);
  });
}

}  // namespace qe::cuda
