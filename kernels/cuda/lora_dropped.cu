// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// LoRA's two narrow products where dropout is between x and A: t = scale * dropout(x) A^T, and d_x
// += dropout'(u A). A product library would need dropout(x) in memory, and u A; here a block drops
// what it has staged, or what it is about to add, and neither is ever written. Both read A of up to
// three Linears as one matrix.
//
// mma.sync m16n8k16 with fp32 sums over ascending k. Blocks of 128 tokens; 8 warps, four along the
// tokens and two along the other side. t: k in steps of 32 through three stages of cp.async, each
// thread dropping the 16-byte pieces that it copied. d_x: the sum is over the ranks alone, 64 at a
// time. For 16-bit types on compute capability 8.0 and newer.
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/lora.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTokens = 128;  // of a block
constexpr int kPad = 8;       // elements
constexpr int kParts = static_cast<int>(kMaxLoraParts);

// A of all parts as one (ranks, k) matrix.
struct StackedA {
  const void* data[kParts];
  int64_t stride[kParts];
  float scale[kParts];
  int64_t begin[kParts];  // row
  int n_parts;
  int64_t ranks, k;

  __device__ int part_of(int64_t row) const {
    int part = 0;
#pragma unroll
    for (int i = 1; i < kParts; ++i) {
      if (i < n_parts && row >= begin[i]) part = i;
    }
    return part;
  }
};

struct Dropped {
  void* x;  // (tokens, k): x, or d_x
  int64_t x_stride;
  void* t;  // (tokens, ranks): t, or u
  int64_t t_stride;
  int64_t n_tokens;
  StackedA a;
  DropoutPlan dropout;
};

// kRows x kColumns elements from (row, column) on; zeros outside of the matrix. at(row): its first
// element.
template <int kRows, int kColumns, class T, class At>
__device__ inline void load_tile(T (&to)[kRows][kColumns + kPad], int64_t row, int64_t n_rows,
                                 int64_t column, int64_t n_columns, const At& at) {
  constexpr int kPacks = kColumns / 8;
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kPacks; i += kThreads) {
    const int r = i / kPacks;
    const int c = i % kPacks * 8;
    const bool inside = row + r < n_rows && column + c < n_columns;
    copy_async<16>(&to[r][c], at(inside ? row + r : 0) + (inside ? column + c : 0), inside);
  }
}

template <class T>
struct RowOfA {
  const StackedA& a;
  __device__ const T* operator()(int64_t row) const {
    const int part = a.part_of(row);
    return static_cast<const T*>(a.data[part]) + (row - a.begin[part]) * a.stride[part];
  }
};

constexpr int kDepth = 32;
constexpr int kStages = 3;

template <class T, int kRanks>
struct DownTiles {
  T x[kStages][kTokens][kDepth + kPad];
  T a[kStages][kRanks][kDepth + kPad];
};

template <class T, int kRanks>
__global__ void __launch_bounds__(kThreads) dropped_down_kernel(const __grid_constant__ Dropped p) {
  constexpr int kWarpRanks = kRanks / 2;
  constexpr int kRankTiles = kWarpRanks / 8;
  extern __shared__ __align__(16) char shared[];
  auto& tiles = *reinterpret_cast<DownTiles<T, kRanks>*>(shared);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int token0 = warp / 2 * 32;  // of the warp, inside the tile
  const int rank0 = warp % 2 * kWarpRanks;
  const int matrix = lane / 8;
  const int matrix_row = lane % 8;
  const int64_t tokens = int64_t{blockIdx.x} * kTokens;
  const int64_t ranks = int64_t{blockIdx.y} * kRanks;
  const int n_steps = static_cast<int>((p.a.k + kDepth - 1) / kDepth);
  const T* const x = static_cast<const T*>(p.x);

  const auto load = [&](int step) {
    if (step < n_steps) {
      const int64_t k = int64_t{step} * kDepth;
      load_tile<kTokens, kDepth>(tiles.x[step % kStages], tokens, p.n_tokens, k, p.a.k,
                                 [&](int64_t row) { return x + row * p.x_stride; });
      load_tile<kRanks, kDepth>(tiles.a[step % kStages], ranks, p.a.ranks, k, p.a.k,
                                RowOfA<T>{p.a});
    }
    copy_async_commit();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) load(i);

  float sum[2][kRankTiles][4] = {};
  for (int step = 0; step < n_steps; ++step) {
    copy_async_wait<kStages - 2>();
    auto& x_tile = tiles.x[step % kStages];
    const auto& a_tile = tiles.a[step % kStages];
    constexpr int kPacks = kDepth / 8;
    for (int i = static_cast<int>(threadIdx.x); i < kTokens * kPacks; i += kThreads) {
      const int row = i / kPacks;
      const int c = i % kPacks * 8;
      if (tokens + row >= p.n_tokens) continue;
      float v[8];
      load_pack(&x_tile[row][c], v);
      DropoutRow(p.dropout, tokens + row).apply(int64_t{step} * kDepth + c, v);
      store_pack(&x_tile[row][c], v);
    }
    __syncthreads();
    load(step + kStages - 1);
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
      uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        ldmatrix_x4(a[i],
                    &x_tile[token0 + 16 * i + matrix % 2 * 8 + matrix_row][k + matrix / 2 * 8]);
      }
#pragma unroll
      for (int j = 0; j < kRankTiles; j += 2) {
        uint32_t b[4];
        ldmatrix_x4(b, &a_tile[rank0 + 8 * j + matrix / 2 * 8 + matrix_row][k + matrix % 2 * 8]);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          mma_16x8x16<T>(sum[i][j], a[i], b[0], b[1]);
          mma_16x8x16<T>(sum[i][j + 1], a[i], b[2], b[3]);
        }
      }
    }
  }
  copy_async_wait<0>();

#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < kRankTiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t token = tokens + token0 + 16 * i + lane / 4 + e / 2 * 8;
        const int64_t rank = ranks + rank0 + 8 * j + lane % 4 * 2 + e % 2;
        if (token >= p.n_tokens || rank >= p.a.ranks) continue;
        static_cast<T*>(p.t)[token * p.t_stride + rank] =
            from_float<T>(p.a.scale[p.a.part_of(rank)] * sum[i][j][e]);
      }
    }
  }
}

constexpr int kColumns = 128;  // of d_x for a block
constexpr int kRanksAtOnce = 64;

template <class T>
struct UpTiles {
  T u[kTokens][kRanksAtOnce + kPad];
  T a[kRanksAtOnce][kColumns + kPad];
};

template <class T>
__global__ void __launch_bounds__(kThreads) dropped_up_kernel(const __grid_constant__ Dropped p) {
  constexpr int kWarpColumns = kColumns / 2;
  constexpr int kColumnTiles = kWarpColumns / 8;
  extern __shared__ __align__(16) char shared[];
  auto& tiles = *reinterpret_cast<UpTiles<T>*>(shared);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int token0 = warp / 2 * 32;
  const int column0 = warp % 2 * kWarpColumns;
  const int matrix = lane / 8;
  const int matrix_row = lane % 8;
  const int64_t tokens = int64_t{blockIdx.y} * kTokens;
  const int64_t columns = int64_t{blockIdx.x} * kColumns;
  const T* const u = static_cast<const T*>(p.t);

  float sum[2][kColumnTiles][4] = {};
  for (int64_t rank = 0; rank < p.a.ranks; rank += kRanksAtOnce) {
    if (rank > 0) __syncthreads();
    load_tile<kTokens, kRanksAtOnce>(tiles.u, tokens, p.n_tokens, rank, p.a.ranks,
                                     [&](int64_t row) { return u + row * p.t_stride; });
    load_tile<kRanksAtOnce, kColumns>(tiles.a, rank, p.a.ranks, columns, p.a.k, RowOfA<T>{p.a});
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kRanksAtOnce; k += 16) {
      uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        ldmatrix_x4(a[i],
                    &tiles.u[token0 + 16 * i + matrix % 2 * 8 + matrix_row][k + matrix / 2 * 8]);
      }
#pragma unroll
      for (int j = 0; j < kColumnTiles; j += 2) {
        uint32_t b[4];
        ldmatrix_x4_trans(
            b, &tiles.a[k + matrix % 2 * 8 + matrix_row][column0 + 8 * j + matrix / 2 * 8]);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          mma_16x8x16<T>(sum[i][j], a[i], b[0], b[1]);
          mma_16x8x16<T>(sum[i][j + 1], a[i], b[2], b[3]);
        }
      }
    }
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t token = tokens + token0 + 16 * i + lane / 4 + half * 8;
      if (token >= p.n_tokens) continue;
      const DropoutRow dropout(p.dropout, token);
      T* const row = static_cast<T*>(p.x) + token * p.x_stride;
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j) {
        const int64_t column = columns + column0 + 8 * j + lane % 4 * 2;
        if (column >= p.a.k) continue;
        float share[2] = {sum[i][j][2 * half], sum[i][j][2 * half + 1]};
        float d[2];
        dropout.apply(column, share);
        load_pack(row + column, d);
        d[0] += share[0];
        d[1] += share[1];
        store_pack(row + column, d);
      }
    }
  }
}

Dropped plan(const Context& ctx, const DroppedProduct& product) {
  Dropped p{.x = product.x.data,
            .x_stride = product.x.stride,
            .t = product.t.data,
            .t_stride = product.t.stride,
            .n_tokens = product.x.rows,
            .a = {.n_parts = static_cast<int>(product.parts.size()), .k = product.x.cols},
            .dropout = plan_dropout(ctx, product.dropout)};
  for (size_t i = 0; i < product.parts.size(); ++i) {
    const LoraSegment& part = *product.parts[i];
    p.a.data[i] = part.a.data;
    p.a.stride[i] = part.a.stride;
    p.a.scale[i] = part.scale;
    p.a.begin[i] = p.a.ranks;
    p.a.ranks += part.a.rows;
  }
  return p;
}

template <class T, int kRanks>
void run_down(Context& ctx, const Dropped& p) {
  launch(ctx, "dropped_down_kernel", dropped_down_kernel<T, kRanks>,
         dim3(static_cast<unsigned>(ceil_div(p.n_tokens, kTokens)),
              static_cast<unsigned>(ceil_div(p.a.ranks, kRanks))),
         dim3(kThreads), sizeof(DownTiles<T, kRanks>), p);
}

template <class T>
void down(Context& ctx, const Dropped& p) {
  constexpr int kFew = 64, kMany = 192;
  p.a.ranks <= kFew ? run_down<T, kFew>(ctx, p) : run_down<T, kMany>(ctx, p);
}

template <class T>
void up(Context& ctx, const Dropped& p) {
  launch(ctx, "dropped_up_kernel", dropped_up_kernel<T>,
         dim3(static_cast<unsigned>(ceil_div(p.a.k, kColumns)),
              static_cast<unsigned>(ceil_div(p.n_tokens, kTokens))),
         dim3(kThreads), sizeof(UpTiles<T>), p);
}

}  // namespace

void dropped_down(Context& ctx, const DroppedProduct& product) {
  const Dropped p = plan(ctx, product);
  if (ctx.compute == DType::kBF16) return down<__nv_bfloat16>(ctx, p);
  down<__half>(ctx, p);
}

void dropped_up(Context& ctx, const DroppedProduct& product) {
  const Dropped p = plan(ctx, product);
  if (ctx.compute == DType::kBF16) return up<__nv_bfloat16>(ctx, p);
  up<__half>(ctx, p);
}

}  // namespace qe::cuda
