// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// LoRA's own kernels; its other products are gemm's.
//
// Gradients of A and B are sums of outer products over all tokens: d += left^T right, one side as
// wide as the layer, the other as the rank. The result is tiny and the sum is long, the opposite of
// what product libraries tile for: without splitting the sum a layer of 1024 columns would keep 8
// multiprocessors busy. Here the tokens are cut into a fixed number of slices, a function of the
// shape only; each block adds one slice of a 128 x 64 tile in registers (mma.sync m16n8k16, both
// operands transposed on their way from shared memory by ldmatrix.trans, four stages of cp.async),
// and a second kernel adds the slices in ascending order to d. No atomics: the same bits in every
// run. The wide side is read once from memory; 64 bytes of it are in flight for every thread.
//
// Used in backward, for 16-bit types on compute capability 8.0 and newer; else gemm.
#include <algorithm>

#include "kernels/cuda/choices.h"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/lora.h"
#include "kernels/cuda/mma.cuh"

namespace qe::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWide = OuterProductTile::kWide;
constexpr int kNarrow = OuterProductTile::kNarrow;
constexpr int kTokens = OuterProductTile::kTokens;
constexpr int kStages = 4;
constexpr int kPad = 8;  // elements: rows of 16 bytes more fall into different banks

struct OuterProducts {
  const void* wide;  // (tokens, n_wide)
  int64_t wide_stride;
  const void* narrow;  // (tokens, n_narrow)
  int64_t narrow_stride;
  int64_t n_tokens, n_wide, n_narrow;
  int64_t slice;               // tokens of a block
  int64_t wide_at, narrow_at;  // where element (wide, narrow) of a part lies
  float* parts;                // (slices, n_wide * n_narrow)
};

template <class T>
struct Tiles {
  T wide[kStages][kTokens][kWide + kPad];
  T narrow[kStages][kTokens][kNarrow + kPad];
};

// Rows [token, token + kTokens) of kColumns columns from `column` on; zeros outside of the matrix.
template <int kColumns, class T>
__device__ inline void load_rows(T (&to)[kTokens][kColumns + kPad], const T* from, int64_t stride,
                                 int64_t token, int64_t end, int64_t column, int64_t n_columns) {
  constexpr int kPacks = kColumns / 8;
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kPacks; i += kThreads) {
    const int t = i / kPacks;
    const int c = i % kPacks * 8;
    const bool inside = token + t < end && column + c < n_columns;
    copy_async<16>(&to[t][c], inside ? from + (token + t) * stride + column + c : from, inside);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) outer_products_kernel(OuterProducts p) {
  extern __shared__ __align__(16) char shared[];
  Tiles<T>& tiles = *reinterpret_cast<Tiles<T>*>(shared);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int wide0 = warp / 2 * 32;  // of the warp, inside the tile
  const int narrow0 = warp % 2 * 32;
  const int64_t tile_wide = int64_t{blockIdx.x} * kWide;
  const int64_t tile_narrow = int64_t{blockIdx.y} * kNarrow;
  const int64_t begin = int64_t{blockIdx.z} * p.slice;
  const int64_t end = min(begin + p.slice, p.n_tokens);
  const int n_steps = static_cast<int>((end - begin + kTokens - 1) / kTokens);

  const auto load = [&](int step) {
    if (step < n_steps) {
      const int64_t token = begin + int64_t{step} * kTokens;
      load_rows<kWide>(tiles.wide[step % kStages], static_cast<const T*>(p.wide), p.wide_stride,
                       token, end, tile_wide, p.n_wide);
      load_rows<kNarrow>(tiles.narrow[step % kStages], static_cast<const T*>(p.narrow),
                         p.narrow_stride, token, end, tile_narrow, p.n_narrow);
    }
    copy_async_commit();
  };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) load(i);

  float sum[2][4][4] = {};
  // The row of the 8 x 8 matrix that this lane names to ldmatrix, and which of the four it is.
  const int matrix = lane / 8;
  const int matrix_row = lane % 8;
  for (int step = 0; step < n_steps; ++step) {
    copy_async_wait<kStages - 2>();
    __syncthreads();
    load(step + kStages - 1);
    const auto& wide = tiles.wide[step % kStages];
    const auto& narrow = tiles.narrow[step % kStages];
#pragma unroll
    for (int t = 0; t < kTokens; t += 16) {
      uint32_t a[2][4], b[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        ldmatrix_x4_trans(a[i],
                          &wide[t + matrix / 2 * 8 + matrix_row][wide0 + 16 * i + matrix % 2 * 8]);
        ldmatrix_x4_trans(
            b[i], &narrow[t + matrix % 2 * 8 + matrix_row][narrow0 + 16 * i + matrix / 2 * 8]);
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          mma_16x8x16<T>(sum[i][j], a[i], b[j / 2][2 * (j % 2)], b[j / 2][2 * (j % 2) + 1]);
        }
      }
    }
  }
  copy_async_wait<0>();

  float* const part = p.parts + int64_t{blockIdx.z} * p.n_wide * p.n_narrow;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t w = tile_wide + wide0 + 16 * i + lane / 4 + e / 2 * 8;
        const int64_t r = tile_narrow + narrow0 + 8 * j + lane % 4 * 2 + e % 2;
        if (w < p.n_wide && r < p.n_narrow) part[w * p.wide_at + r * p.narrow_at] = sum[i][j][e];
      }
    }
  }
}

__global__ void add_slices_kernel(const float* parts, int n_slices, int64_t rows, int64_t cols,
                                  float* d, int64_t d_stride) {
  const int64_t n = rows * cols;
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float sum = 0.0f;
  for (int s = 0; s < n_slices; ++s) sum += parts[int64_t{s} * n + i];
  d[i / cols * d_stride + i % cols] += sum;
}

bool aligned(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && t.stride % 8 == 0;
}

template <class T>
void run(Context& ctx, const OuterProducts& p, int64_t n_slices) {
  launch(
      ctx, "outer_products_kernel", outer_products_kernel<T>,
      dim3(static_cast<unsigned>(ceil_div(p.n_wide, kWide)),
           static_cast<unsigned>(ceil_div(p.n_narrow, kNarrow)), static_cast<unsigned>(n_slices)),
      dim3(kThreads), sizeof(Tiles<T>), p);
}

template <class T, int N>
struct AddBody {
  const T* x;
  int64_t x_stride;
  T* y;
  int64_t y_stride;

  __device__ void operator()(int64_t row, int64_t column) const {
    float a[N], b[N];
    load_pack(x + row * x_stride + column, a);
    load_pack(y + row * y_stride + column, b);
#pragma unroll
    for (int i = 0; i < N; ++i) b[i] += a[i];
    store_pack(y + row * y_stride + column, b);
  }
};

template <class T, int N>
void add(Context& ctx, const Tensor& x, const Tensor& y) {
  launch_elementwise(
      ctx, "add_matrix", x.rows, x.cols, N,
      AddBody<T, N>{static_cast<const T*>(x.data), x.stride, static_cast<T*>(y.data), y.stride});
}

}  // namespace

void add_matrix(Context& ctx, const Tensor& x, const Tensor& y) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    if (packable(x, kPack<T>) && packable(y, kPack<T>)) {
      add<T, kPack<T>>(ctx, x, y);
    } else {
      add<T, 1>(ctx, x, y);
    }
  });
}

void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right, const Tensor& d,
                        float* scratch) {
  const int64_t n_tokens = left.rows;
  if (n_tokens == 0 || d.size() == 0) return;
  if (!has_outer_products_kernel(ctx, left.cols, right.cols) || !aligned(left) || !aligned(right)) {
    return cuda::gemm(ctx,
                      Gemm{.a = left,
                           .b = right,
                           .a_transposed = true,
                           .b_transposed = false,
                           .c = d,
                           .mode = GradientMode::kAccumulate},
                      scratch);
  }
  const bool left_is_wide = left.cols >= right.cols;
  const Tensor& wide = left_is_wide ? left : right;
  const Tensor& narrow = left_is_wide ? right : left;
  const Slices slices = choose_slices(n_tokens, wide.cols, narrow.cols);
  const OuterProducts p{.wide = wide.data,
                        .wide_stride = wide.stride,
                        .narrow = narrow.data,
                        .narrow_stride = narrow.stride,
                        .n_tokens = n_tokens,
                        .n_wide = wide.cols,
                        .n_narrow = narrow.cols,
                        .slice = slices.tokens,
                        .wide_at = left_is_wide ? narrow.cols : 1,
                        .narrow_at = left_is_wide ? 1 : wide.cols,
                        .parts = scratch};
  if (ctx.compute == DType::kBF16) {
    run<__nv_bfloat16>(ctx, p, slices.n);
  } else {
    run<__half>(ctx, p, slices.n);
  }
  constexpr int kAddThreads = 256;
  launch(ctx, "add_slices_kernel", add_slices_kernel,
         dim3(static_cast<unsigned>(ceil_div(d.size(), kAddThreads))), dim3(kAddThreads), 0,
         static_cast<const float*>(scratch), static_cast<int>(slices.n), d.rows, d.cols, d.f32(),
         d.stride);
}

}  // namespace qe::cuda
