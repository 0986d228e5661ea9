// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Activations of a matrix, forward and derivative. Which function it is, is a branch that all
// threads take alike: it costs nothing beside the memory traffic and saves instantiations.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/activation.h"
#include "kernels/cuda/elementwise.cuh"

namespace qe::cuda {
namespace {

template <class T, int N>
struct ForwardBody {
  Activation f;
  const T* x;
  int64_t x_stride;
  T* y;
  int64_t y_stride;

  __device__ void operator()(int64_t row, int64_t column) const {
    float v[N];
    load_pack(x + row * x_stride + column, v);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = activation_value(f, v[i]);
    store_pack(y + row * y_stride + column, v);
  }
};

template <class T, int N>
struct BackwardBody {
  Activation f;
  const T* x;
  int64_t x_stride;
  const T* dy;
  int64_t dy_stride;
  T* dx;
  int64_t dx_stride;

  __device__ void operator()(int64_t row, int64_t column) const {
    float v[N], g[N];
    load_pack(x + row * x_stride + column, v);
    load_pack(dy + row * dy_stride + column, g);
#pragma unroll
    for (int i = 0; i < N; ++i) g[i] *= activation_slope(f, v[i]);
    store_pack(dx + row * dx_stride + column, g);
  }
};

template <class T, int N>
void forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  launch_elementwise(ctx, "activation_forward", x.rows, x.cols, N,
                     ForwardBody<T, N>{f, static_cast<const T*>(x.data), x.stride,
                                       static_cast<T*>(y.data), y.stride});
}

template <class T, int N>
void backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy, const Tensor& dx) {
  launch_elementwise(
      ctx, "activation_backward", x.rows, x.cols, N,
      BackwardBody<T, N>{f, static_cast<const T*>(x.data), x.stride, static_cast<const T*>(dy.data),
                         dy.stride, static_cast<T*>(dx.data), dx.stride});
}

template <class T, int N>
struct GatedForwardBody {
  Activation f;
  const T* x;
  int64_t x_stride, cols;
  T* y;
  int64_t y_stride;

  __device__ void operator()(int64_t row, int64_t column) const {
    float a[N], g[N];
    load_pack(x + row * x_stride + column, a);
    load_pack(x + row * x_stride + cols + column, g);
#pragma unroll
    for (int i = 0; i < N; ++i) a[i] = activation_value(f, a[i]) * g[i];
    store_pack(y + row * y_stride + column, a);
  }
};

template <class T, int N>
struct GatedBackwardBody {
  Activation f;
  const T* x;
  int64_t x_stride, cols;
  const T* dy;
  int64_t dy_stride;
  T* dx;
  int64_t dx_stride;

  __device__ void operator()(int64_t row, int64_t column) const {
    float a[N], g[N], d[N];
    load_pack(x + row * x_stride + column, a);
    load_pack(x + row * x_stride + cols + column, g);
    load_pack(dy + row * dy_stride + column, d);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      g[i] *= activation_slope(f, a[i]) * d[i];
      d[i] *= activation_value(f, a[i]);
    }
    store_pack(dx + row * dx_stride + column, g);
    store_pack(dx + row * dx_stride + cols + column, d);
  }
};

// Whether packs of n fit in both halves.
bool halves_packable(const Tensor& x, int n) {
  return packable(x, n) && packable(x.col_range(x.cols / 2, x.cols / 2), n);
}

template <class T, int N>
void gated_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  launch_elementwise(ctx, "gated_activation_forward", y.rows, y.cols, N,
                     GatedForwardBody<T, N>{f, static_cast<const T*>(x.data), x.stride, y.cols,
                                            static_cast<T*>(y.data), y.stride});
}

template <class T, int N>
void gated_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                    const Tensor& dx) {
  launch_elementwise(ctx, "gated_activation_backward", dy.rows, dy.cols, N,
                     GatedBackwardBody<T, N>{f, static_cast<const T*>(x.data), x.stride, dy.cols,
                                             static_cast<const T*>(dy.data), dy.stride,
                                             static_cast<T*>(dx.data), dx.stride});
}

}  // namespace

void activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    if (packable(x, kN) && packable(y, kN)) {
      forward<T, kN>(ctx, f, x, y);
    } else {
      forward<T, 1>(ctx, f, x, y);
    }
  });
}

void activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                         const Tensor& dx) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    if (packable(x, kN) && packable(dy, kN) && packable(dx, kN)) {
      backward<T, kN>(ctx, f, x, dy, dx);
    } else {
      backward<T, 1>(ctx, f, x, dy, dx);
    }
  });
}

void gated_activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    if (halves_packable(x, kN) && packable(y, kN)) {
      gated_forward<T, kN>(ctx, f, x, y);
    } else {
      gated_forward<T, 1>(ctx, f, x, y);
    }
  });
}

void gated_activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                               const Tensor& dx) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    if (halves_packable(x, kN) && packable(dy, kN) && halves_packable(dx, kN)) {
      gated_backward<T, kN>(ctx, f, x, dy, dx);
    } else {
      gated_backward<T, 1>(ctx, f, x, dy, dx);
    }
  });
}

}  // namespace qe::cuda
