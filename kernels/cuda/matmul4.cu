// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Products with a frozen 4-bit weight.
//
// Many tokens: the weight is decoded into scratch (quant4.cu), unless memory allows to keep it
// decoded, and multiplied by cuBLASLt. Decoding moves 2.5 bytes a weight, which is small beside the
// arithmetic of thousands of tokens.
//
// Few tokens (see few_tokens; fill-mask): reading 16-bit weights would be the cost, so the weight
// is read once, in 4 bits, and decoded in registers: y^T = W x^T with the weight as the A operand
// of mma.sync, because tokens are the small side and fit the 8-wide n dimension without padding
// waste (the operand order of Marlin, Frantar et al. 2024, arXiv:2408.11743). The file's layout is
// multiplied as it lies, without repacking: a sum over k may take k in any order, so each lane
// takes the 32 neighbouring weights of its row that one 16-byte load brings and hands four of them
// to each of 8 k-steps; the activations are laid out in shared memory in the same order. 32 weights
// at a multiple of 32 have one scale. Values are rounded to 16 bits once, as dequantize4 rounds
// them (the stored type must be fp32 or the compute type): results differ from the other path in
// the order of fp32 sums only. Nibbles are looked up by warp shuffle: 16 levels live in 16 lanes'
// registers.
//
// A block takes 128 rows of W, so that activations (4 M bytes per k) weigh little beside codes (64
// bytes per k). k is split over blocks until the GPU is full; the parts meet in a second kernel in
// ascending order: deterministic.
#include <algorithm>

#include "kernels/cuda/choices.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/matmul4.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/quant4.cuh"
#include "kernels/cuda/quant4.h"

namespace qe::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRows = FewTokensTile::kRows;
constexpr int kDepth = FewTokensTile::kDepth;
constexpr int kStages = 3;
// Parts of k times tokens up to which one block adds the parts, and not a kernel of many.
constexpr int64_t kFewParts = 32;
// Elements of one token in shared memory: 32 bytes more than a multiple of 128, so that the 8-byte
// reads of a half-warp (4 tokens, 4 lanes each) fall into different banks.
constexpr int kTokenStride = kDepth + 16;

struct FewTokens {
  const void* x;
  int64_t x_stride;
  int m;
  int64_t n, k;
  Quant4Plan w;
  const void* bias;
  void* y;
  int64_t y_stride;
  float* parts;        // (parts, m, n); there is none when k is not split
  uint32_t* counters;  // one for each 128 rows, 0 before and after; null: parts are added elsewhere
  int steps_per_split;  // of kDepth
};

// What a lane loads of one step of its four rows (g, g + 8, g + 16, g + 24 of the warp's 32): as it
// lies in memory, so that nothing waits for it before the step begins.
struct LaneCodes {
  uint4 codes[4];
  float absmax[4];  // or nested_absmax
  uint32_t absmax_codes[4];
};

__device__ inline void load_codes(const FewTokens& p, const int64_t (&rows)[4], int64_t k,
                                  LaneCodes& to) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t at = rows[i] * p.k + (k < p.k ? k : 0);
    const int64_t block = at >> p.w.block_shift;
    to.codes[i] = __ldcs(reinterpret_cast<const uint4*>(p.w.codes + at / 2));
    if (p.w.nested()) {
      to.absmax_codes[i] = __ldg(p.w.absmax_codes + block);
      to.absmax[i] = __ldg(p.w.nested_absmax + (block >> 8));
    } else {
      to.absmax[i] = __ldg(p.w.absmax + block);
    }
  }
}

// kTokenTiles: tokens / 8.
template <class T, int kTokenTiles>
__global__ void __launch_bounds__(kThreads) few_tokens_kernel(const __grid_constant__ FewTokens p) {
  extern __shared__ __align__(16) char shared[];
  __shared__ Quant4Tables tables;
  T* const x_tiles = reinterpret_cast<T*>(shared);
  constexpr int kTokens = 8 * kTokenTiles;
  constexpr int kTile = kTokens * kTokenStride;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int g = lane / 4;
  const int c = lane % 4;
  const int n_steps = static_cast<int>((p.k + kDepth - 1) / kDepth);
  const int step_begin = static_cast<int>(blockIdx.y) * p.steps_per_split;
  const int step_end = min(step_begin + p.steps_per_split, n_steps);

  // Element k of a step goes where the lane and k-step that need it find it: k = 32 c + 4 s + e to
  // 16 s + 4 c + e. A thread copies the same four k's of every fourth token.
  const int quad = static_cast<int>(threadIdx.x) % 32;
  const int token0 = static_cast<int>(threadIdx.x) / 32;
  const T* const x_from = static_cast<const T*>(p.x) + token0 * p.x_stride + 4 * quad;
  T* const x_to = x_tiles + token0 * kTokenStride + quad % 8 * 16 + quad / 8 * 4;
  const auto load_x = [&](int step) {
    if (step < step_end) {
      T* const to = x_to + (step - step_begin) % kStages * kTile;
      const int64_t k = int64_t{step} * kDepth;
      const bool k_inside = k + 4 * quad < p.k;
#pragma unroll
      for (int i = 0; i < kTokens; i += 4) {
        const bool inside = k_inside && token0 + i < p.m;
        copy_async<8>(to + i * kTokenStride, inside ? x_from + i * p.x_stride + k : p.x, inside);
      }
    }
    copy_async_commit();
  };

  tables.fill(p.w);
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) load_x(step_begin + i);
  __syncthreads();
  const float level = tables.levels[lane % 16];
  const int64_t first_row = int64_t{blockIdx.x} * kRows + 32 * warp + g;
  int64_t rows[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) rows[i] = min(first_row + 8 * i, p.n - 1);
  float sum[2][kTokenTiles][4] = {};
  LaneCodes next;
  load_codes(p, rows, int64_t{step_begin} * kDepth + 32 * c, next);
  for (int step = step_begin; step < step_end; ++step) {
    const LaneCodes now = next;
    if (step + 1 < step_end) load_codes(p, rows, int64_t{step + 1} * kDepth + 32 * c, next);
    const bool inside = int64_t{step} * kDepth + 32 * c < p.k;
    float scales[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      scales[i] = p.w.nested() ? tables.nested_scale(p.w, now.absmax_codes[i], now.absmax[i])
                               : now.absmax[i];
      if (!inside) scales[i] = 0.0f;
    }
    copy_async_wait<kStages - 2>();
    __syncthreads();
    load_x(step + kStages - 1);
    const T* const x = x_tiles + (step - step_begin) % kStages * kTile + g * kTokenStride + 4 * c;
#pragma unroll
    for (int s = 0; s < 8; ++s) {
      uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t word = s / 2 == 0   ? now.codes[i].x
                              : s / 2 == 1 ? now.codes[i].y
                              : s / 2 == 2 ? now.codes[i].z
                                           : now.codes[i].w;
        float value[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          // Only the low four bits of the lane number count.
          const int code = static_cast<int>(word >> (16 * (s % 2) + 4 * (e ^ 1)));
          value[e] = __fmul_rn(__shfl_sync(0xffffffffu, level, code, 16), scales[i]);
        }
        a[i / 2][i % 2] = pack_pair<T>(value[0], value[1]);
        a[i / 2][i % 2 + 2] = pack_pair<T>(value[2], value[3]);
      }
#pragma unroll
      for (int t = 0; t < kTokenTiles; ++t) {
        const uint2 b = *reinterpret_cast<const uint2*>(x + 8 * t * kTokenStride + 16 * s);
        mma_16x8x16<T>(sum[0][t], a[0], b.x, b.y);
        mma_16x8x16<T>(sum[1][t], a[1], b.x, b.y);
      }
    }
  }
  copy_async_wait<0>();

  const bool whole = gridDim.y == 1;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t row = first_row + 8 * i;
    if (row >= p.n) continue;
    const float bias =
        whole && p.bias != nullptr ? to_float(static_cast<const T*>(p.bias)[row]) : 0.0f;
#pragma unroll
    for (int t = 0; t < kTokenTiles; ++t) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int token = 8 * t + 2 * c + e;
        if (token >= p.m) continue;
        const float value = sum[i / 2][t][2 * (i % 2) + e];
        if (whole) {
          static_cast<T*>(p.y)[token * p.y_stride + row] = from_float<T>(value + bias);
        } else {
          p.parts[(int64_t{blockIdx.y} * p.m + token) * p.n + row] = value;
        }
      }
    }
  }
  if (whole || p.counters == nullptr) return;

  // The last block of a row tile adds the parts, whoever it is in the same order.
  __shared__ bool is_last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    is_last = atomicAdd(p.counters + blockIdx.x, 1u) == gridDim.y - 1;
    if (is_last) p.counters[blockIdx.x] = 0;
  }
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  const int64_t row = int64_t{blockIdx.x} * kRows + threadIdx.x;
  static_assert(kThreads == kRows);
  if (row >= p.n) return;
  const float bias = p.bias != nullptr ? to_float(static_cast<const T*>(p.bias)[row]) : 0.0f;
  for (int token = 0; token < p.m; ++token) {
    float total = 0.0f;
    for (unsigned part = 0; part < gridDim.y; ++part) {
      total += __ldcg(p.parts + (int64_t{part} * p.m + token) * p.n + row);
    }
    static_cast<T*>(p.y)[token * p.y_stride + row] = from_float<T>(total + bias);
  }
}

bool aligned(const Tensor& x, const Quant4Matrix& w) {
  return reinterpret_cast<uintptr_t>(w.codes) % 16 == 0 &&
         reinterpret_cast<uintptr_t>(x.data) % 8 == 0 && x.stride % 4 == 0;
}

template <class T>
__global__ void __launch_bounds__(kThreads) add_parts_kernel(const FewTokens p, int n_parts) {
  const int64_t row = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row >= p.n) return;
  const int64_t token = blockIdx.y;
  float total = 0.0f;
#pragma unroll 4
  for (int part = 0; part < n_parts; ++part) {
    total += p.parts[(int64_t{part} * p.m + token) * p.n + row];
  }
  if (p.bias != nullptr) total += to_float(static_cast<const T*>(p.bias)[row]);
  static_cast<T*>(p.y)[token * p.y_stride + row] = from_float<T>(total);
}

template <class T, int kTokenTiles>
void launch_few_tokens(Context& ctx, const FewTokens& p, int64_t n_parts) {
  const size_t shared = size_t{kStages} * 8 * kTokenTiles * kTokenStride * sizeof(T);
  launch(ctx, "few_tokens_kernel", few_tokens_kernel<T, kTokenTiles>,
         dim3(static_cast<unsigned>(ceil_div(p.n, kRows)), static_cast<unsigned>(n_parts)),
         dim3(kThreads), shared, p);
}

template <class T>
void multiply_few_tokens(Context& ctx, const Tensor& x, const Quant4Matrix& w, const Tensor& bias,
                         const Tensor& y, float* scratch) {
  const Split split = choose_split(ctx, w.n, w.k);
  const bool one_block_adds = split.parts * x.rows <= kFewParts;
  const FewTokens p{.x = x.data,
                    .x_stride = x.stride,
                    .m = static_cast<int>(x.rows),
                    .n = w.n,
                    .k = w.k,
                    .w = plan_quant4(w),
                    .bias = bias ? bias.data : nullptr,
                    .y = y.data,
                    .y_stride = y.stride,
                    .parts = scratch,
                    .counters = one_block_adds ? ctx.cuda->counters() : nullptr,
                    .steps_per_split = static_cast<int>(split.steps)};
  if (x.rows <= 16) {
    launch_few_tokens<T, 2>(ctx, p, split.parts);
  } else if (x.rows <= 32) {
    launch_few_tokens<T, 4>(ctx, p, split.parts);
  } else {
    launch_few_tokens<T, 8>(ctx, p, split.parts);
  }
  if (split.parts == 1 || one_block_adds) return;
  launch(ctx, "add_parts_kernel", add_parts_kernel<T>,
         dim3(static_cast<unsigned>(ceil_div(w.n, kThreads)), static_cast<unsigned>(x.rows)),
         dim3(kThreads), 0, p, static_cast<int>(split.parts));
}

// The decoded weight: where it is kept, or in scratch behind the product's workspace. The same bits
// either way.
Tensor decoded(Context& ctx, const Quant4Matrix& w, float* scratch, size_t offset) {
  if (w.expanded) return w.expanded;
  const Tensor dense =
      make_tensor(reinterpret_cast<char*>(scratch) + offset, w.n, w.k, ctx.compute, ctx.device);
  cuda::dequantize4(ctx, w, dense);
  return dense;
}

}  // namespace

void matmul4_forward(Context& ctx, const Tensor& x, const Quant4Matrix& w, const Tensor& bias,
                     const Tensor& y, float* scratch) {
  if (x.rows == 0 || w.n == 0) return;
  if (few_tokens(ctx, x.rows, w) && aligned(x, w)) {
    if (ctx.compute == DType::kBF16) {
      return multiply_few_tokens<__nv_bfloat16>(ctx, x, w, bias, y, scratch);
    }
    return multiply_few_tokens<__half>(ctx, x, w, bias, y, scratch);
  }
  const size_t offset = cuda::gemm_workspace_bytes(ctx, x.rows, w.n, w.k);
  cuda::gemm(ctx, Gemm{.a = x, .b = decoded(ctx, w, scratch, offset), .bias = bias, .c = y},
             scratch);
}

void matmul4_backward(Context& ctx, const Tensor& dy, const Quant4Matrix& w, const Tensor& dx,
                      GradientMode mode, float* scratch) {
  if (dy.rows == 0 || w.k == 0) return;
  const size_t offset = cuda::gemm_workspace_bytes(ctx, dy.rows, w.n, w.k);
  cuda::gemm(ctx,
             Gemm{.a = dy,
                  .b = decoded(ctx, w, scratch, offset),
                  .b_transposed = false,
                  .c = dx,
                  .mode = mode},
             scratch);
}

}  // namespace qe::cuda
