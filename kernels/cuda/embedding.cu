// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Input embeddings, the gradient of a table, and the gather and scatter of labelled rows.
//
// The gradient orders tokens by their row of the table: a token's place is how many come before it,
// counted by comparing it with all of them, T^2 comparisons of integers that sit in the first cache
// (16384 tokens: as many as there are multiply-adds in 65 tokens of a 2048 x 2048 product). Blocks
// then add up pieces of that order. A row's tokens that lie in one piece are added to the table at
// once; of a row that crosses borders of pieces, each piece leaves its part, and one more kernel
// adds the parts in order.
#include "kernels/cuda/choices.h"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/embedding.h"
#include "kernels/cuda/reduce.cuh"

namespace qe::cuda {
namespace {

struct Table {
  AnyMatrix matrix;
  const int32_t* ids;  // null: absent

  template <int N>
  __device__ void add(int64_t row, int64_t column, float (&sum)[N]) const {
    float v[N];
    matrix.load(ids[row], column, v);
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] += v[i];
  }
};

Table table_of(const Tensor& table, std::span<const int32_t> ids) {
  return {AnyMatrix::of(table), table ? ids.data() : nullptr};
}

template <int N>
struct EmbeddingBody {
  Table word, type, position;
  Table replaced;            // ids: slots of the word's ids, null: none
  const float* word_scales;  // nullable
  AnyMatrix out;

  __device__ void operator()(int64_t row, int64_t column) const {
    float sum[N];
    const int32_t id = word.ids[row];
    const int32_t slot = replaced.ids != nullptr ? replaced.ids[id] : -1;
    if (slot >= 0) {
      replaced.matrix.load(slot, column, sum);
    } else {
      word.matrix.load(id, column, sum);
    }
    if (word_scales != nullptr) {
#pragma unroll
      for (int i = 0; i < N; ++i) sum[i] *= word_scales[row];
    }
    if (type.ids != nullptr) type.add(row, column, sum);
    if (position.ids != nullptr) position.add(row, column, sum);
    out.store(row, column, sum);
  }
};

template <int N>
void embed(Context& ctx, const EmbeddingForward& args) {
  launch_elementwise(ctx, "embedding_forward", args.out.rows, args.out.cols, N,
                     EmbeddingBody<N>{table_of(args.word_table, args.token_ids),
                                      table_of(args.type_table, args.type_ids),
                                      table_of(args.position_table, args.position_ids),
                                      table_of(args.replaced.rows, args.replaced.slots),
                                      args.word_scales.empty() ? nullptr : args.word_scales.data(),
                                      AnyMatrix::of(args.out)});
}

constexpr int32_t kNoRow = 0x7fffffff;  // comes last
constexpr int kOrderWarps = 8;
constexpr int kPieceTokens = static_cast<int>(kEmbeddingPiece);

__global__ void token_rows_kernel(const int32_t* ids, const int32_t* slots, int32_t padding_id,
                                  int64_t n, int64_t n_padded, int32_t* rows, int32_t* ordered) {
  const int64_t t = int64_t{blockIdx.x} * kElementwiseThreads + threadIdx.x;
  if (t >= n_padded) return;
  int32_t row = -1;
  if (t < n && ids[t] != padding_id) row = slots != nullptr ? slots[ids[t]] : ids[t];
  rows[t] = row < 0 ? kNoRow : row;
  ordered[t] = kNoRow;
}

// A block: 32 tokens, one for each lane, whose places its warps count over parts of all tokens.
__global__ void __launch_bounds__(kWarp* kOrderWarps)
    order_tokens_kernel(const int32_t* rows, int64_t n_padded, int32_t* tokens, int32_t* ordered) {
  __shared__ int32_t counts[kOrderWarps][kWarp];
  const int64_t t = int64_t{blockIdx.x} * kWarp + threadIdx.x;
  const int32_t row = rows[t];
  if (__all_sync(0xffffffffu, row == kNoRow)) return;  // in all warps alike
  int32_t count = 0;
  const auto* packs = reinterpret_cast<const int4*>(rows);
#pragma unroll 4
  for (int64_t i = threadIdx.y; i < n_padded / 4; i += kOrderWarps) {
    const int4 other = packs[i];
    const int64_t at = 4 * i;
    count += other.x < row || (other.x == row && at < t);
    count += other.y < row || (other.y == row && at + 1 < t);
    count += other.z < row || (other.z == row && at + 2 < t);
    count += other.w < row || (other.w == row && at + 3 < t);
  }
  counts[threadIdx.y][threadIdx.x] = count;
  __syncthreads();
  if (threadIdx.y != 0 || row == kNoRow) return;
  for (int warp = 1; warp < kOrderWarps; ++warp) count += counts[warp][threadIdx.x];
  tokens[count] = static_cast<int32_t>(t);
  ordered[count] = row;
}

struct TableGradient {
  const int32_t* tokens;   // (n_padded) in order; read where `ordered` is a row
  const int32_t* ordered;  // (n_padded) their rows, kNoRow behind the last
  int64_t n_pieces;
  const float* scales;  // nullable
  const void* d_out;
  int64_t d_out_stride;
  float* d_table;
  int64_t d_table_stride;
  int64_t cols;
  float* parts;  // (n_pieces, 2, cols): of the row that began before, of one that goes on

  __device__ const int32_t* piece(int64_t at) const { return ordered + at * kPieceTokens; }
  // Whether the first row of a piece began in the piece before, which exists.
  __device__ bool continues(int64_t at) const {
    return at > 0 && at < n_pieces && piece(at)[0] != kNoRow && piece(at)[0] == piece(at)[-1];
  }
  template <int N>
  __device__ void add(int32_t row, int64_t column, const float (&sums)[N]) const {
    float* const to = d_table + row * d_table_stride + column;
    float start[N];
    load_pack(to, start);
#pragma unroll
    for (int k = 0; k < N; ++k) start[k] += sums[k];
    store_pack(to, start);
  }
};

// N columns of one piece. Not more than a piece's tokens, so that there are enough blocks.
template <class T, int N>
__global__ void __launch_bounds__(kWarp) sum_pieces_kernel(TableGradient p) {
  const int64_t piece = blockIdx.y;
  const int32_t own_row = p.piece(piece)[threadIdx.x];
  const int32_t own_token = own_row == kNoRow ? 0 : p.tokens[piece * kPieceTokens + threadIdx.x];
  const bool from_before = p.continues(piece);
  const bool goes_on = p.continues(piece + 1);
  const int64_t column = (int64_t{blockIdx.x} * kWarp + threadIdx.x) * N;
  const bool inside = column < p.cols;
  bool first = true;
  float sums[N] = {};
  for (int i = 0; i < kPieceTokens; ++i) {
    const int32_t row = __shfl_sync(0xffffffffu, own_row, i);
    const int64_t token = __shfl_sync(0xffffffffu, own_token, i);
    const int32_t next = __shfl_sync(0xffffffffu, own_row, (i + 1) % kPieceTokens);
    if (row == kNoRow) return;
    if (inside) {
      float v[N];
      load_pack(static_cast<const T*>(p.d_out) + token * p.d_out_stride + column, v);
      const float scale = p.scales != nullptr ? p.scales[token] : 1.0f;
#pragma unroll
      for (int k = 0; k < N; ++k) sums[k] = fmaf(scale, v[k], sums[k]);
    }
    const bool last = i + 1 == kPieceTokens;
    if (!last && next == row) continue;
    const bool began_before = first && from_before;
    if (inside) {
      if (began_before || (last && goes_on)) {
        store_pack(p.parts + (2 * piece + (began_before ? 0 : 1)) * p.cols + column, sums);
      } else {
        p.add(row, column, sums);
      }
    }
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k] = 0.0f;
    first = false;
  }
}

// One block for each piece: a row that begins there and goes on.
template <int N>
__global__ void __launch_bounds__(kWarp) add_parts_kernel(TableGradient p) {
  const int64_t piece = blockIdx.y;
  if (!p.continues(piece + 1)) return;
  const int32_t row = p.piece(piece + 1)[0];
  if (p.continues(piece) && p.piece(piece)[0] == row) return;  // it began before
  int64_t end = piece + 1;                                     // of the pieces that it goes on in
  for (bool more = true; more;) {
    const int64_t at = end + threadIdx.x;
    const bool same = at < p.n_pieces && p.piece(at)[0] == row;
    const int n_same = __popc(__ballot_sync(0xffffffffu, same));
    end += n_same;
    more = n_same == kWarp;
  }
  const int64_t column = (int64_t{blockIdx.x} * kWarp + threadIdx.x) * N;
  if (column >= p.cols) return;
  float sums[N];
  load_pack(p.parts + (2 * piece + 1) * p.cols + column, sums);
#pragma unroll 8
  for (int64_t at = piece + 1; at < end; ++at) {
    float v[N];
    load_pack(p.parts + 2 * at * p.cols + column, v);
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k] += v[k];
  }
  p.add(row, column, sums);
}

template <class T, int N>
void sum_rows(Context& ctx, const TableGradient& gradient) {
  const dim3 grid(static_cast<unsigned>(ceil_div(gradient.cols, kWarp * N)),
                  static_cast<unsigned>(gradient.n_pieces));
  launch(ctx, "embedding_sum_pieces", sum_pieces_kernel<T, N>, grid, dim3(kWarp), 0, gradient);
  launch(ctx, "embedding_add_parts", add_parts_kernel<N>, grid, dim3(kWarp), 0, gradient);
}

template <class T, int N>
struct GatherBody {
  const T* x;
  int64_t x_stride;
  const int32_t* rows;
  T* y;
  int64_t y_stride;

  __device__ void operator()(int64_t row, int64_t column) const {
    *reinterpret_cast<Pack<T, N>*>(y + row * y_stride + column) =
        *reinterpret_cast<const Pack<T, N>*>(x + rows[row] * x_stride + column);
  }
};

template <class T, int N>
struct ScatterBody {
  const T* dy;
  int64_t dy_stride;
  const int32_t* rows;
  T* dx;
  int64_t dx_stride;

  __device__ void operator()(int64_t row, int64_t column) const {
    T* target = dx + rows[row] * dx_stride + column;
    float sum[N], v[N];
    load_pack(target, sum);
    load_pack(dy + row * dy_stride + column, v);
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] += v[i];
    store_pack(target, sum);
  }
};

template <class T, int N>
void gather(Context& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& y) {
  launch_elementwise(ctx, "gather_rows", y.rows, y.cols, N,
                     GatherBody<T, N>{static_cast<const T*>(x.data), x.stride, rows.data(),
                                      static_cast<T*>(y.data), y.stride});
}

template <class T, int N>
void scatter(Context& ctx, const Tensor& dy, std::span<const int32_t> rows, const Tensor& dx) {
  launch_elementwise(ctx, "scatter_rows", dy.rows, dy.cols, N,
                     ScatterBody<T, N>{static_cast<const T*>(dy.data), dy.stride, rows.data(),
                                       static_cast<T*>(dx.data), dx.stride});
}

}  // namespace

void embedding_forward(Context& ctx, const EmbeddingForward& args) {
  constexpr int kN = 4;  // tables may be of other types than out
  bool packs = packable(args.out, kN);
  for (const Tensor* table :
       {&args.word_table, &args.type_table, &args.position_table, &args.replaced.rows}) {
    packs = packs && (!*table || packable(*table, kN));
  }
  if (packs) {
    embed<kN>(ctx, args);
  } else {
    embed<1>(ctx, args);
  }
}

void embedding_backward(Context& ctx, const EmbeddingBackward& args, void* scratch) {
  const int64_t n = args.d_out.rows;
  const int64_t n_pieces = pieces(n, kEmbeddingPiece);
  const int64_t n_padded = n_pieces * kEmbeddingPiece;
  if (n == 0 || args.d_out.cols == 0) return;
  QE_CHECK(n_pieces <= 65535, "embedding_backward: ", n, " tokens are too many for one launch");
  int32_t* const rows = static_cast<int32_t*>(scratch);
  int32_t* const tokens = rows + n_padded;
  int32_t* const ordered = tokens + n_padded;
  launch(ctx, "embedding_token_rows", token_rows_kernel,
         dim3(static_cast<unsigned>(ceil_div(n_padded, kElementwiseThreads))),
         dim3(kElementwiseThreads), 0, args.ids.data(),
         args.slots.empty() ? nullptr : args.slots.data(), args.padding_id, n, n_padded, rows,
         ordered);
  launch(ctx, "embedding_order", order_tokens_kernel, dim3(static_cast<unsigned>(n_pieces)),
         dim3(kWarp, kOrderWarps), 0, rows, n_padded, tokens, ordered);
  const TableGradient gradient{.tokens = tokens,
                               .ordered = ordered,
                               .n_pieces = n_pieces,
                               .scales = args.scales.empty() ? nullptr : args.scales.data(),
                               .d_out = args.d_out.data,
                               .d_out_stride = args.d_out.stride,
                               .d_table = args.d_table.f32(),
                               .d_table_stride = args.d_table.stride,
                               .cols = args.d_out.cols,
                               .parts = reinterpret_cast<float*>(ordered + n_padded)};
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = 4;
    packable(args.d_out, kN) && packable(args.d_table, kN) ? sum_rows<T, kN>(ctx, gradient)
                                                           : sum_rows<T, 1>(ctx, gradient);
  });
}

void gather_rows(Context& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& y) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    if (packable(x, kPack<T>) && packable(y, kPack<T>)) {
      gather<T, kPack<T>>(ctx, x, rows, y);
    } else {
      gather<T, 1>(ctx, x, rows, y);
    }
  });
}

void scatter_rows(Context& ctx, const Tensor& dy, std::span<const int32_t> rows, const Tensor& dx,
                  GradientMode mode) {
  if (mode == GradientMode::kOverwrite && dx.size() > 0) {
    const size_t element = dtype_size(dx.dtype);
    const cudaError_t status = cudaMemset2DAsync(dx.data, static_cast<size_t>(dx.stride) * element,
                                                 0, static_cast<size_t>(dx.cols) * element,
                                                 static_cast<size_t>(dx.rows), stream_of(ctx));
    QE_CHECK(status == cudaSuccess, "scatter_rows: ", cudaGetErrorString(status));
  }
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    if (packable(dy, kPack<T>) && packable(dx, kPack<T>)) {
      scatter<T, kPack<T>>(ctx, dy, rows, dx);
    } else {
      scatter<T, 1>(ctx, dy, rows, dx);
    }
  });
}

}  // namespace qe::cuda
