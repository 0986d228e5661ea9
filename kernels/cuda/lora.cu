// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// LoRA's own kernels; its other products are gemm's.
//
// Where base and adapters are joined into one product, W, A and B of up to three Linears have to
// stand side by side in scratch: dequantize4 writes W there, and one launch copies the small
// blocks.
//
// Gradients of A and B are sums of outer products over all tokens: d += left^T right, one side as
// wide as the layer, the other as the rank. The result is tiny and the sum is long, the opposite of
// what product libraries tile for: without splitting the sum a layer of 1024 columns would keep 8
// multiprocessors busy. Here the tokens are cut into a fixed number of slices, a function of the
// shape only; each block adds one slice of a 128 x 64 to 192 tile in registers (mma.sync m16n8k16,
// both operands transposed on their way from shared memory by ldmatrix.trans, four stages of
// cp.async), and a second kernel adds the slices in ascending order to d. No atomics: the same bits
// in every run. The wide side is read once from memory, by as many blocks of the narrow side as
// ranks of all Linears over one x fill. What the gradient of A sums over, dropout(activation(x)),
// is made here: a thread changes the elements that it copied to shared memory before others may
// read them.
//
// Used in backward, for 16-bit types on compute capability 8.0 and newer; else gemm.
#include <algorithm>

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/choices.h"
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/lora.h"
#include "kernels/cuda/mma.cuh"

namespace qe::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWide = OuterProductTile::kWide;
constexpr int kNarrowest = OuterProductTile::kNarrowest;
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
  bool prepares_wide, prepares_narrow;
  bool activates;
  Activation activation;
  DropoutPlan dropout;
};

template <class T, int kNarrow>
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

// The elements that this thread copied by load_rows, as the Linears read them: rounded as the ops
// of their own round.
template <int kColumns, class T>
__device__ inline void prepare_rows(T (&rows)[kTokens][kColumns + kPad], const OuterProducts& p,
                                    int64_t token, int64_t end, int64_t column, int64_t n_columns) {
  constexpr int kPacks = kColumns / 8;
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kPacks; i += kThreads) {
    const int t = i / kPacks;
    const int c = i % kPacks * 8;
    if (token + t >= end || column + c >= n_columns) continue;
    float v[8];
    load_pack(&rows[t][c], v);
    if (p.activates) {
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        v[e] = to_float(from_float<T>(activation_value(p.activation, v[e])));
      }
    }
    if (p.dropout.on) DropoutRow(p.dropout, token + t).apply(column + c, v);
    store_pack(&rows[t][c], v);
  }
}

template <class T, int kNarrow>
__global__ void __launch_bounds__(kThreads)
    outer_products_kernel(const __grid_constant__ OuterProducts p) {
  constexpr int kWarpNarrow = kNarrow / 2;
  constexpr int kNarrowTiles = kWarpNarrow / 8;
  extern __shared__ __align__(16) char shared[];
  auto& tiles = *reinterpret_cast<Tiles<T, kNarrow>*>(shared);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int wide0 = warp / 2 * 32;  // of the warp, inside the tile
  const int narrow0 = warp % 2 * kWarpNarrow;
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

  float sum[2][kNarrowTiles][4] = {};
  // The row of the 8 x 8 matrix that this lane names to ldmatrix, and which of the four it is.
  const int matrix = lane / 8;
  const int matrix_row = lane % 8;
  for (int step = 0; step < n_steps; ++step) {
    copy_async_wait<kStages - 2>();
    const int64_t token = begin + int64_t{step} * kTokens;
    if (p.prepares_wide) {
      prepare_rows<kWide>(tiles.wide[step % kStages], p, token, end, tile_wide, p.n_wide);
    }
    if (p.prepares_narrow) {
      prepare_rows<kNarrow>(tiles.narrow[step % kStages], p, token, end, tile_narrow, p.n_narrow);
    }
    __syncthreads();
    load(step + kStages - 1);
    const auto& wide = tiles.wide[step % kStages];
    const auto& narrow = tiles.narrow[step % kStages];
#pragma unroll
    for (int t = 0; t < kTokens; t += 16) {
      uint32_t a[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        ldmatrix_x4_trans(a[i],
                          &wide[t + matrix / 2 * 8 + matrix_row][wide0 + 16 * i + matrix % 2 * 8]);
      }
#pragma unroll
      for (int j = 0; j < kNarrowTiles; j += 2) {
        uint32_t b[4];
        ldmatrix_x4_trans(
            b, &narrow[t + matrix % 2 * 8 + matrix_row][narrow0 + 8 * j + matrix / 2 * 8]);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          mma_16x8x16<T>(sum[i][j], a[i], b[0], b[1]);
          mma_16x8x16<T>(sum[i][j + 1], a[i], b[2], b[3]);
        }
      }
    }
  }
  copy_async_wait<0>();

  float* const part = p.parts + int64_t{blockIdx.z} * p.n_wide * p.n_narrow;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < kNarrowTiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t w = tile_wide + wide0 + 16 * i + lane / 4 + e / 2 * 8;
        const int64_t r = tile_narrow + narrow0 + 8 * j + lane % 4 * 2 + e % 2;
        if (w < p.n_wide && r < p.n_narrow) part[w * p.wide_at + r * p.narrow_at] = sum[i][j][e];
      }
    }
  }
}

// Where the sums of the slices go: row r of the whole to row r - begin of the last sum whose begin
// is not above r.
struct Sums {
  float* d[kMaxLoraParts];
  int64_t stride[kMaxLoraParts];
  int64_t begin[kMaxLoraParts];
  int n;
};

__global__ void add_slices_kernel(const float* parts, int n_slices, int64_t n, int64_t cols,
                                  Sums sums) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float sum = 0.0f;
  for (int s = 0; s < n_slices; ++s) sum += parts[int64_t{s} * n + i];
  const int64_t row = i / cols;
  int which = 0;
#pragma unroll
  for (int p = 1; p < static_cast<int>(kMaxLoraParts); ++p) {
    if (p < sums.n && row >= sums.begin[p]) which = p;
  }
  sums.d[which][(row - sums.begin[which]) * sums.stride[which] + i % cols] += sum;
}

template <class T, int kNarrow>
void run(Context& ctx, const OuterProducts& p, int64_t n_slices) {
  launch(
      ctx, "outer_products_kernel", outer_products_kernel<T, kNarrow>,
      dim3(static_cast<unsigned>(ceil_div(p.n_wide, kWide)),
           static_cast<unsigned>(ceil_div(p.n_narrow, kNarrow)), static_cast<unsigned>(n_slices)),
      dim3(kThreads), sizeof(Tiles<T, kNarrow>), p);
}

template <class T>
void run(Context& ctx, const OuterProducts& p, int64_t n_slices) {
  const int64_t columns = narrow_columns(p.n_narrow);
  if (columns == kNarrowest) return run<T, kNarrowest>(ctx, p, n_slices);
  if (columns == 2 * kNarrowest) return run<T, 2 * kNarrowest>(ctx, p, n_slices);
  run<T, 3 * kNarrowest>(ctx, p, n_slices);
}

struct BlockCopy {
  const void* from;  // null: zeros
  void* to;
  int64_t from_stride, to_stride;  // of units
  uint32_t n_units, units_per_row;
};
struct BlockCopies {
  BlockCopy at[kMaxCopiedBlocks];
};

template <class Unit>
__global__ void __launch_bounds__(kThreads)
    copy_blocks_kernel(const __grid_constant__ BlockCopies copies) {
  const BlockCopy& copy = copies.at[blockIdx.y];
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < copy.n_units;
       i += gridDim.x * kThreads) {
    const int64_t row = i / copy.units_per_row;
    const int64_t unit = i % copy.units_per_row;
    static_cast<Unit*>(copy.to)[row * copy.to_stride + unit] =
        copy.from == nullptr ? Unit{}
                             : static_cast<const Unit*>(copy.from)[row * copy.from_stride + unit];
  }
}

template <class Unit>
void copy_units(Context& ctx, std::span<const CopiedBlock> blocks) {
  const int64_t elements =
      static_cast<int64_t>(sizeof(Unit) / dtype_size(blocks.front().to.dtype));  // of a unit
  BlockCopies copies{};
  int64_t most = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const CopiedBlock& block = blocks[i];
    const int64_t per_row = block.to.cols / elements;
    QE_CHECK(block.to.rows * per_row < int64_t{1} << 31, "copy_blocks: a block of ", block.to.rows,
             " x ", block.to.cols, " is too large");
    copies.at[i] = {block.from.data,
                    block.to.data,
                    block.from.stride / elements,
                    block.to.stride / elements,
                    static_cast<uint32_t>(block.to.rows * per_row),
                    static_cast<uint32_t>(std::max<int64_t>(per_row, 1))};
    most = std::max(most, block.to.rows * per_row);
  }
  constexpr int64_t kMaxBlocks = 64;
  launch(ctx, "copy_blocks_kernel", copy_blocks_kernel<Unit>,
         dim3(static_cast<unsigned>(std::min(ceil_div(most, kThreads), kMaxBlocks)),
              static_cast<unsigned>(blocks.size())),
         dim3(kThreads), 0, copies);
}

}  // namespace

void copy_blocks(Context& ctx, std::span<const CopiedBlock> blocks) {
  if (blocks.empty()) return;
  const int64_t pack = 16 / static_cast<int64_t>(dtype_size(ctx.compute));
  bool packs = true;
  for (const CopiedBlock& block : blocks) {
    packs = packs && packable(block.to, pack) && (!block.from || packable(block.from, pack));
  }
  if (packs) {
    copy_units<uint4>(ctx, blocks);
  } else if (ctx.compute == DType::kF32) {
    copy_units<uint32_t>(ctx, blocks);
  } else {
    copy_units<uint16_t>(ctx, blocks);
  }
}

void add_outer_products(Context& ctx, const Tensor& left, const Tensor& right,
                        const Preparation& preparation, std::span<const Tensor> d, float* scratch) {
  const int64_t n_tokens = left.rows;
  if (n_tokens == 0 || left.cols == 0 || right.cols == 0) return;
  if (!sums_prepare(ctx, left, right)) {
    int64_t column = 0;
    for (const Tensor& sum : d) {
      cuda::gemm(ctx,
                 Gemm{.a = left.col_range(column, sum.rows),
                      .b = right,
                      .a_transposed = true,
                      .b_transposed = false,
                      .c = sum,
                      .mode = GradientMode::kAccumulate},
                 scratch);
      column += sum.rows;
    }
    return;
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
                        .parts = scratch,
                        .prepares_wide = !left_is_wide && !preparation.none(),
                        .prepares_narrow = left_is_wide && !preparation.none(),
                        .activates = preparation.activation.has_value(),
                        .activation = preparation.activation.value_or(Activation::kGelu),
                        .dropout = plan_dropout(ctx, preparation.dropout)};
  if (ctx.compute == DType::kBF16) {
    run<__nv_bfloat16>(ctx, p, slices.n);
  } else {
    run<__half>(ctx, p, slices.n);
  }
  Sums sums{.n = static_cast<int>(d.size())};
  int64_t row = 0;
  for (size_t i = 0; i < d.size(); ++i) {
    sums.d[i] = d[i].f32();
    sums.stride[i] = d[i].stride;
    sums.begin[i] = row;
    row += d[i].rows;
  }
  constexpr int kAddThreads = 256;
  const int64_t n = left.cols * right.cols;
  launch(ctx, "add_slices_kernel", add_slices_kernel,
         dim3(static_cast<unsigned>(ceil_div(n, kAddThreads))), dim3(kAddThreads), 0,
         static_cast<const float*>(scratch), static_cast<int>(slices.n), n, right.cols, sums);
}

}  // namespace qe::cuda
