// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Input embeddings, and the gather and scatter of labelled rows.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/embedding.h"

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
  const float* word_scales;  // nullable
  AnyMatrix out;

  __device__ void operator()(int64_t row, int64_t column) const {
    float sum[N];
    word.matrix.load(word.ids[row], column, sum);
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
                                      args.word_scales.empty() ? nullptr : args.word_scales.data(),
                                      AnyMatrix::of(args.out)});
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
  for (const Tensor* table : {&args.word_table, &args.type_table, &args.position_table}) {
    packs = packs && (!*table || packable(*table, kN));
  }
  if (packs) {
    embed<kN>(ctx, args);
  } else {
    embed<1>(ctx, args);
  }
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
