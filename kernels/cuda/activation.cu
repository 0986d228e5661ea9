// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Activations of a matrix, forward and derivative. Which function it is, is a branch that all
// threads take alike: it costs nothing beside the memory traffic and saves instantiations.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/activation.h"
#include "kernels/cuda/elementwise.cuh"

namespace qe::cuda {
namespace {

// What a kernel gets. In the gated form x and, backward, out are (T, 2 cols).
template <class T, int N>
struct Operands {
  Activation f;
  const T *x, *dy;
  T* out;
  int64_t x_stride, dy_stride, out_stride, cols;

  __device__ void load_x(int64_t row, int64_t column, float (&to)[N]) const {
    load_pack(x + row * x_stride + column, to);
  }
  __device__ void load_dy(int64_t row, int64_t column, float (&to)[N]) const {
    load_pack(dy + row * dy_stride + column, to);
  }
  __device__ void store(int64_t row, int64_t column, const float (&from)[N]) const {
    store_pack(out + row * out_stride + column, from);
  }
};

template <class T, int N>
struct ForwardBody {
  Operands<T, N> o;

  __device__ void operator()(int64_t row, int64_t column) const {
    float v[N];
    o.load_x(row, column, v);
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = activation_value(o.f, v[i]);
    o.store(row, column, v);
  }
};

template <class T, int N>
struct BackwardBody {
  Operands<T, N> o;

  __device__ void operator()(int64_t row, int64_t column) const {
    float v[N], g[N];
    o.load_x(row, column, v);
    o.load_dy(row, column, g);
#pragma unroll
    for (int i = 0; i < N; ++i) g[i] *= activation_slope(o.f, v[i]);
    o.store(row, column, g);
  }
};

template <class T, int N>
struct GatedForwardBody {
  Operands<T, N> o;

  __device__ void operator()(int64_t row, int64_t column) const {
    float a[N], g[N];
    o.load_x(row, column, a);
    o.load_x(row, o.cols + column, g);
#pragma unroll
    for (int i = 0; i < N; ++i) a[i] = activation_value(o.f, a[i]) * g[i];
    o.store(row, column, a);
  }
};

template <class T, int N>
struct GatedBackwardBody {
  Operands<T, N> o;

  __device__ void operator()(int64_t row, int64_t column) const {
    float a[N], g[N], d[N];
    o.load_x(row, column, a);
    o.load_x(row, o.cols + column, g);
    o.load_dy(row, column, d);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      g[i] *= activation_slope(o.f, a[i]) * d[i];
      d[i] *= activation_value(o.f, a[i]);
    }
    o.store(row, column, g);
    o.store(row, o.cols + column, d);
  }
};

// Whether packs of n fit, also in the second half of a matrix that has two.
bool packs_fit(const Tensor& t, int64_t cols, int n) {
  return packable(t, n) && (t.cols == cols || packable(t.col_range(cols, cols), n));
}

// Runs Body over `cols` columns. dy: forward none.
template <template <class, int> class Body>
void run(Context& ctx, const char* name, Activation f, const Tensor& x, const Tensor& dy,
         const Tensor& out, int64_t cols) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    const auto launch_with = [&](auto pack) {
      constexpr int kN = decltype(pack)::value;
      const Operands<T, kN> operands{f,
                                     static_cast<const T*>(x.data),
                                     static_cast<const T*>(dy.data),
                                     static_cast<T*>(out.data),
                                     x.stride,
                                     dy.stride,
                                     out.stride,
                                     cols};
      launch_elementwise(ctx, name, x.rows, cols, kN, Body<T, kN>{operands});
    };
    constexpr int kN = kPack<T>;
    if (packs_fit(x, cols, kN) && packs_fit(out, cols, kN) && (!dy || packs_fit(dy, cols, kN))) {
      launch_with(std::integral_constant<int, kN>());
    } else {
      launch_with(std::integral_constant<int, 1>());
    }
  });
}

}  // namespace

void activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  run<ForwardBody>(ctx, "activation_forward", f, x, {}, y, y.cols);
}

void activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                         const Tensor& dx) {
  run<BackwardBody>(ctx, "activation_backward", f, x, dy, dx, dx.cols);
}

void gated_activation_forward(Context& ctx, Activation f, const Tensor& x, const Tensor& y) {
  run<GatedForwardBody>(ctx, "gated_activation_forward", f, x, {}, y, y.cols);
}

void gated_activation_backward(Context& ctx, Activation f, const Tensor& x, const Tensor& dy,
                               const Tensor& dx) {
  run<GatedBackwardBody>(ctx, "gated_activation_backward", f, x, dy, dx, dy.cols);
}

}  // namespace qe::cuda
