// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Dropout of a matrix (where no other kernel has it inside).
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/dropout.h"
#include "kernels/cuda/elementwise.cuh"

namespace qe::cuda {
namespace {

template <class T, int N>
struct DropoutBody {
  DropoutPlan plan;
  const T* x;
  int64_t x_stride;
  const T* residual;  // nullable
  int64_t residual_stride;
  T* y;
  int64_t y_stride;

  __device__ void operator()(int64_t row, int64_t column) const {
    float v[N];
    load_pack(x + row * x_stride + column, v);
    if (plan.on) DropoutRow(plan, row).apply(column, v);
    if (residual != nullptr) {
      float r[N];
      load_pack(residual + row * residual_stride + column, r);
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] = r[i] + v[i];
    }
    store_pack(y + row * y_stride + column, v);
  }
};

template <class T, int N>
void run(Context& ctx, const Dropout& spec, const Tensor& x, const Tensor& y,
         const Tensor& residual) {
  launch_elementwise(ctx, "dropout", x.rows, x.cols, N,
                     DropoutBody<T, N>{plan_dropout(ctx, spec), static_cast<const T*>(x.data),
                                       x.stride, static_cast<const T*>(residual.data),
                                       residual.stride, static_cast<T*>(y.data), y.stride});
}

}  // namespace

void dropout(Context& ctx, const Dropout& spec, const Tensor& x, const Tensor& y,
             const Tensor& residual) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    if (packable(x, kPack<T>) && packable(y, kPack<T>) &&
        (!residual || packable(residual, kPack<T>))) {
      run<T, kPack<T>>(ctx, spec, x, y, residual);
    } else {
      run<T, 1>(ctx, spec, x, y, residual);
    }
  });
}

}  // namespace qe::cuda
