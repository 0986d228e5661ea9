// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Dense products: cuBLASLt (cublaslt.h), and a plain tiled kernel for the few layouts it has no
// algorithm for (rows that are not whole words, an inner size of 0). The plain kernel is there to
// be right for every shape, not to be fast: 64 x 64 outputs a block, 4 x 4 a thread, fp32 sums in
// ascending order of k.
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {
namespace {

constexpr int kTile = 64;
constexpr int kDepth = 16;
constexpr int kThreads = 256;

struct PlainProduct {
  int64_t m, n, k;
  const void* a;  // (m, k), or (k, m) when a_transposed
  int64_t a_row, a_k;
  const void* b;  // element (k, n)
  int64_t b_k, b_col;
  const void* bias;
  void* c;
  int64_t c_stride;
  float alpha;
  bool c_is_f32, accumulate;
};

template <class T>
__global__ void __launch_bounds__(kThreads) plain_product_kernel(PlainProduct p) {
  __shared__ float a_tile[kDepth][kTile + 4];
  __shared__ float b_tile[kDepth][kTile + 4];
  const int64_t row0 = int64_t{blockIdx.y} * kTile;
  const int64_t col0 = int64_t{blockIdx.x} * kTile;
  const int tid = static_cast<int>(threadIdx.x);
  const int tx = tid % 16;
  const int ty = tid / 16;
  float sum[4][4] = {};
  for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
    for (int i = tid; i < kTile * kDepth; i += kThreads) {
      const int64_t k = k0 + i % kDepth;
      const int64_t row = row0 + i / kDepth;
      const int64_t col = col0 + i / kDepth;
      a_tile[i % kDepth][i / kDepth] =
          k < p.k && row < p.m ? to_float(static_cast<const T*>(p.a)[row * p.a_row + k * p.a_k])
                               : 0.0f;
      b_tile[i % kDepth][i / kDepth] =
          k < p.k && col < p.n ? to_float(static_cast<const T*>(p.b)[k * p.b_k + col * p.b_col])
                               : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          sum[i][j] = fmaf(a_tile[k][ty + 16 * i], b_tile[k][tx + 16 * j], sum[i][j]);
        }
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int64_t row = row0 + ty + 16 * i;
      const int64_t col = col0 + tx + 16 * j;
      if (row >= p.m || col >= p.n) continue;
      const int64_t at = row * p.c_stride + col;
      float value = p.alpha * sum[i][j];
      if (p.c_is_f32) {
        float* const c = static_cast<float*>(p.c);
        if (p.accumulate) value += c[at];
        if (p.bias != nullptr) value += static_cast<const float*>(p.bias)[col];
        c[at] = value;
      } else {
        T* const c = static_cast<T*>(p.c);
        if (p.accumulate) value += to_float(c[at]);
        if (p.bias != nullptr) value += to_float(static_cast<const T*>(p.bias)[col]);
        c[at] = from_float<T>(value);
      }
    }
  }
}

void plain_product(Context& ctx, const Gemm& g) {
  const PlainProduct p{.m = g.c.rows,
                       .n = g.c.cols,
                       .k = g.a_transposed ? g.a.rows : g.a.cols,
                       .a = g.a.data,
                       .a_row = g.a_transposed ? 1 : g.a.stride,
                       .a_k = g.a_transposed ? g.a.stride : 1,
                       .b = g.b.data,
                       .b_k = g.b_transposed ? 1 : g.b.stride,
                       .b_col = g.b_transposed ? g.b.stride : 1,
                       .bias = g.bias ? g.bias.data : nullptr,
                       .c = g.c.data,
                       .c_stride = g.c.stride,
                       .alpha = g.alpha,
                       .c_is_f32 = g.c.dtype == DType::kF32,
                       .accumulate = g.mode == GradientMode::kAccumulate};
  const dim3 grid(static_cast<unsigned>(ceil_div(p.n, kTile)),
                  static_cast<unsigned>(ceil_div(p.m, kTile)));
  with_type(g.a.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch(ctx, "plain_product_kernel", plain_product_kernel<T>, grid, dim3(kThreads), 0, p);
  });
}

}  // namespace

void gemm(Context& ctx, const Gemm& args, float* scratch) {
  const int64_t m = args.c.rows;
  const int64_t n = args.c.cols;
  const int64_t k = args.a_transposed ? args.a.rows : args.a.cols;
  if (m == 0 || n == 0) return;
  if (k > 0) {
    constexpr uintptr_t kAlignment = CublasLt::kWorkspaceAlignment;
    const uintptr_t begin = reinterpret_cast<uintptr_t>(scratch);
    void* const workspace =
        reinterpret_cast<void*>((begin + kAlignment - 1) / kAlignment * kAlignment);
    const size_t n_bytes = cuda::gemm_workspace_bytes(ctx, m, n, k) - kAlignment;
    if (ctx.cuda->cublaslt().gemm(ctx, args, workspace, n_bytes)) return;
  }
  plain_product(ctx, args);
}

}  // namespace qe::cuda
