// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Windows of rows, and the sums of what they took.
#include "kernels/cuda/convolution.h"
#include "kernels/cuda/elementwise.cuh"

namespace qe::cuda {
namespace {

// The rows are x or dx, the windows y or dy.
template <class T>
struct Operands {
  const uint32_t* row_indices;
  int64_t n_rows, cols, width;
  T* rows;
  int64_t row_stride;
  T* windows;
  int64_t window_stride;

  // Whether row t + offset is of t's sequence: positions count from 0 in each.
  __device__ bool same_sequence(int64_t t, int64_t offset) const {
    if (offset <= 0) return row_indices[t] >= static_cast<uint32_t>(-offset);
    return t + offset < n_rows && row_indices[t + offset] >= static_cast<uint32_t>(offset);
  }
};

template <class T, int N>
struct GatherBody {
  Operands<T> o;

  __device__ void operator()(int64_t row, int64_t column) const {
    for (int64_t j = 0; j < o.width; ++j) {
      const int64_t offset = j - o.width / 2;
      float v[N] = {};
      if (o.same_sequence(row, offset)) {
        load_pack(o.rows + (row + offset) * o.row_stride + column, v);
      }
      store_pack(o.windows + row * o.window_stride + j * o.cols + column, v);
    }
  }
};

template <class T, int N>
struct ScatterBody {
  Operands<T> o;
  bool accumulates;

  __device__ void operator()(int64_t row, int64_t column) const {
    T* target = o.rows + row * o.row_stride + column;
    float sum[N] = {};
    if (accumulates) load_pack(target, sum);
    for (int64_t j = 0; j < o.width; ++j) {
      const int64_t offset = o.width / 2 - j;
      if (!o.same_sequence(row, offset)) continue;
      float v[N];
      load_pack(o.windows + (row + offset) * o.window_stride + j * o.cols + column, v);
#pragma unroll
      for (int i = 0; i < N; ++i) sum[i] += v[i];
    }
    store_pack(target, sum);
  }
};

// Calls body(operands, columns a thread takes).
template <class Body>
void with_operands(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& rows,
                   const Tensor& windows, const Body& body) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    const Operands<T> operands{row_indices.data(),
                               rows.rows,
                               rows.cols,
                               windows.cols / rows.cols,
                               static_cast<T*>(rows.data),
                               rows.stride,
                               static_cast<T*>(windows.data),
                               windows.stride};
    constexpr int kN = kPack<T>;
    if (packable(rows, kN) && packable(windows, kN)) {
      body(operands, std::integral_constant<int, kN>());
    } else {
      body(operands, std::integral_constant<int, 1>());
    }
  });
}

}  // namespace

void gather_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& x,
                    const Tensor& y) {
  with_operands(ctx, row_indices, x, y, [&]<class T>(const Operands<T>& operands, auto pack) {
    constexpr int kN = decltype(pack)::value;
    launch_elementwise(ctx, "gather_windows", x.rows, x.cols, kN, GatherBody<T, kN>{operands});
  });
}

void scatter_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& dy,
                     const Tensor& dx, GradientMode mode) {
  const bool accumulates = mode == GradientMode::kAccumulate;
  with_operands(ctx, row_indices, dx, dy, [&]<class T>(const Operands<T>& operands, auto pack) {
    constexpr int kN = decltype(pack)::value;
    launch_elementwise(ctx, "scatter_windows", dx.rows, dx.cols, kN,
                       ScatterBody<T, kN>{operands, accumulates});
  });
}

}  // namespace qe::cuda
