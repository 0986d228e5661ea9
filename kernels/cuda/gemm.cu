// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Dense products: cuBLASLt (cublaslt.h), and a plain tiled kernel for the few layouts it has no
// algorithm for (rows that are not whole words, an inner size of 0). The plain kernel is there to
// be right for every shape, not to be fast: 64 x 64 outputs a block, 4 x 4 a thread, fp32 sums in
// ascending order of k.
//
// Long sums into few outputs (the gradient of the head's input: k is the vocabulary) leave most
// multiprocessors without a tile. There k is cut into parts of equal depth, a function of the shape
// and the GPU only, which the library computes as one batch into fp32 scratch; a kernel adds them
// in ascending order. Splitting k is the library's own remedy too, but not one of a fixed order on
// every path.
#include "kernels/cuda/choices.h"
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

template <class T>
__global__ void __launch_bounds__(kThreads)
    add_parts_kernel(const float* parts, int n_parts, int64_t n, uint32_t cols, const T* bias, T* c,
                     int64_t c_stride, bool accumulate) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  float sum = parts[i];
  for (int part = 1; part < n_parts; ++part) sum += parts[int64_t{part} * n + i];
  const int64_t row = i / cols;
  const int64_t col = i - row * cols;
  T& to = c[row * c_stride + col];
  if (accumulate) sum += to_float(to);
  if (bias != nullptr) sum += to_float(bias[col]);
  to = from_float<T>(sum);
}

// op(a)'s or op(b)'s part of k from `begin` on.
Tensor along_k(const Tensor& t, bool k_is_rows, int64_t begin, int64_t n) {
  return k_is_rows ? t.row_range(begin, n) : t.col_range(begin, n);
}

// False when the library has no algorithm for the operands.
bool product_in_parts(Context& ctx, const Gemm& g, const SumParts& parts, float* sums,
                      void* workspace, size_t workspace_bytes) {
  const int64_t k = g.a_transposed ? g.a.rows : g.a.cols;
  const bool b_k_is_rows = !g.b_transposed;
  Gemm part = g;
  part.a = along_k(g.a, g.a_transposed, 0, parts.depth);
  part.b = along_k(g.b, b_k_is_rows, 0, parts.depth);
  part.bias = {};
  part.c = make_tensor(sums, g.c.rows, g.c.cols, DType::kF32, g.c.device);
  part.mode = GradientMode::kOverwrite;
  const GemmBatch batch{.count = parts.n,
                        .a_offset = parts.depth * (g.a_transposed ? g.a.stride : 1),
                        .b_offset = parts.depth * (b_k_is_rows ? g.b.stride : 1),
                        .c_offset = g.c.size()};
  CublasLt& library = ctx.cuda->cublaslt();
  if (!library.gemm(ctx, part, workspace, workspace_bytes, batch)) return false;
  if (const int64_t done = parts.n * parts.depth; done < k) {
    part.a = along_k(g.a, g.a_transposed, done, k - done);
    part.b = along_k(g.b, b_k_is_rows, done, k - done);
    part.mode = GradientMode::kAccumulate;
    if (!library.gemm(ctx, part, workspace, workspace_bytes)) return false;
  }
  with_type(g.c.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch(ctx, "add_parts_kernel", add_parts_kernel<T>,
           dim3(static_cast<unsigned>(ceil_div(g.c.size(), kThreads))), dim3(kThreads), 0,
           static_cast<const float*>(sums), static_cast<int>(parts.n), g.c.size(),
           static_cast<uint32_t>(g.c.cols), static_cast<const T*>(g.bias ? g.bias.data : nullptr),
           static_cast<T*>(g.c.data), g.c.stride, g.mode == GradientMode::kAccumulate);
  });
  return true;
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
    char* const workspace =
        reinterpret_cast<char*>((begin + kAlignment - 1) / kAlignment * kAlignment);
    const size_t n_bytes = product_library_bytes(ctx);
    const SumParts parts = choose_parts(ctx, m, n, k);
    if (parts.n > 1 &&
        product_in_parts(ctx, args, parts, reinterpret_cast<float*>(workspace + n_bytes), workspace,
                         n_bytes)) {
      return;
    }
    if (ctx.cuda->cublaslt().gemm(ctx, args, workspace, n_bytes)) return;
  }
  plain_product(ctx, args);
}

}  // namespace qe::cuda
