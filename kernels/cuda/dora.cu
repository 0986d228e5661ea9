// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// DoRA's norms and row factors. Sums run in an order that the shape fixes.
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/dora.h"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/reduce.cuh"

namespace qe::cuda {
namespace {

// The smallest square of a norm: what divides by a norm stays finite.
constexpr float kTiny = 0x1p-126f;
constexpr int kThreads = 256;

__global__ void row_squares_kernel(AnyMatrix w, int64_t k, float* squares) {
  __shared__ float lanes[kWarp];
  const int64_t row = blockIdx.x;
  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < k; i += blockDim.x) {
    float v[1];
    w.load(row, i, v);
    sum = fmaf(v[0], v[0], sum);
  }
  sum = block_reduce(sum, Plus(), 0.0f, lanes);
  if (threadIdx.x == 0) squares[row] = sum;
}

template <class T>
__global__ void dora_norms_kernel(const float* squares, const T* products, int64_t products_stride,
                                  const T* b, int64_t b_stride, const T* gram_b,
                                  int64_t gram_b_stride, int64_t n, int64_t r, float scale,
                                  float* norms) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (row >= n) return;
  float sum = 0.0f;
  for (int64_t j = 0; j < r; ++j) {
    const float product = to_float(products[j * products_stride + row]);
    const float gram = to_float(gram_b[row * gram_b_stride + j]);
    sum = fmaf(to_float(b[row * b_stride + j]), fmaf(scale, gram, 2.0f * product), sum);
  }
  norms[row] = sqrtf(fmaxf(fmaf(scale, sum, squares[row]), kTiny));
}

__device__ inline float factor(const float* magnitude, const float* norms, int64_t i) {
  return magnitude == nullptr ? 1.0f : magnitude[i] / norms[i];
}

template <class T, int N>
struct ScaleBody {
  const T* z;
  int64_t z_stride;
  const float* magnitude;
  const float* norms;
  float shift;
  const T* bias;
  T* y;
  int64_t y_stride;
  bool add;

  __device__ void operator()(int64_t row, int64_t column) const {
    float value[N], start[N] = {};
    load_pack(z + row * z_stride + column, value);
    T* const to = y + row * y_stride + column;
    if (add) load_pack(to, start);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (bias != nullptr) start[i] += to_float(bias[column + i]);
      const float g = factor(magnitude, norms, column + i) - shift;
      value[i] = fmaf(g, value[i], start[i]);
    }
    store_pack(to, value);
  }
};

// The terms of d_magnitude's sums, dy z; writes dz on the way.
template <class T, int N>
struct MagnitudeTerms {
  const T *dy, *z;
  int64_t dy_stride, z_stride;
  const float* magnitude;
  const float* norms;
  float shift;
  T* dz;
  int64_t dz_stride;

  struct Column {
    MagnitudeTerms terms;
    int64_t column;
    float g[N];

    __device__ void operator()(int64_t row, float (&sums)[N]) const {
      float d[N], v[N];
      load_pack(terms.dy + row * terms.dy_stride + column, d);
      load_pack(terms.z + row * terms.z_stride + column, v);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        sums[i] = fmaf(d[i], v[i], sums[i]);
        d[i] *= g[i];
      }
      store_pack(terms.dz + row * terms.dz_stride + column, d);
    }
  };
  __device__ Column at(int64_t column) const {
    Column out{*this, column, {}};
#pragma unroll
    for (int i = 0; i < N; ++i) out.g[i] = factor(magnitude, norms, column + i) - shift;
    return out;
  }
};

const float* row_of(const Tensor& t) { return t ? t.f32() : nullptr; }

template <class T, int N>
void scale_rows(Context& ctx, const DoraScaleForward& args) {
  launch_elementwise(ctx, "dora_scale", args.z.rows, args.z.cols, N,
                     ScaleBody<T, N>{static_cast<const T*>(args.z.data), args.z.stride,
                                     row_of(args.scale.magnitude), row_of(args.scale.norms),
                                     args.shift, static_cast<const T*>(args.bias.data),
                                     static_cast<T*>(args.y.data), args.y.stride, args.add});
}

template <class T, int N>
void sum_magnitudes(Context& ctx, const DoraScaleBackward& args, float* partials) {
  const MagnitudeTerms<T, N> terms{static_cast<const T*>(args.dy.data),
                                   static_cast<const T*>(args.z.data),
                                   args.dy.stride,
                                   args.z.stride,
                                   row_of(args.scale.magnitude),
                                   row_of(args.scale.norms),
                                   args.shift,
                                   static_cast<T*>(args.dz.data),
                                   args.dz.stride};
  add_column_sums<N>(ctx, "dora_scale_backward", terms, args.dy.rows, args.dy.cols, partials,
                     args.scale.d_magnitude.f32(), row_of(args.scale.norms));
}

}  // namespace

void row_squares(Context& ctx, const Tensor& w, const Tensor& squares) {
  launch(ctx, "row_squares", row_squares_kernel, dim3(static_cast<unsigned>(w.rows)),
         dim3(kThreads), 0, AnyMatrix::of(w), w.cols, squares.f32());
}

void dora_row_norms(Context& ctx, const DoraNorms& args) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    const int64_t n = args.b.rows;
    launch(ctx, "dora_norms", dora_norms_kernel<T>,
           dim3(static_cast<unsigned>(ceil_div(n, kThreads))), dim3(kThreads), 0,
           args.squares.f32(), static_cast<const T*>(args.products.data), args.products.stride,
           static_cast<const T*>(args.b.data), args.b.stride,
           static_cast<const T*>(args.gram_b.data), args.gram_b.stride, n, args.b.cols, args.scale,
           args.norms.f32());
  });
}

void dora_scale(Context& ctx, const DoraScaleForward& args) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    packable(args.z, kN) && packable(args.y, kN) ? scale_rows<T, kN>(ctx, args)
                                                 : scale_rows<T, 1>(ctx, args);
  });
}

void dora_scale_backward(Context& ctx, const DoraScaleBackward& args, float* partials) {
  const bool sums = args.z && args.scale.d_magnitude;
  if (!sums) {  // dz is dy, scaled as z is forward
    return dora_scale(ctx, {.z = args.dy, .scale = args.scale, .shift = args.shift, .y = args.dz});
  }
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    const bool packs = packable(args.dy, kN) && packable(args.z, kN) && packable(args.dz, kN);
    packs ? sum_magnitudes<T, kN>(ctx, args, partials) : sum_magnitudes<T, 1>(ctx, args, partials);
  });
}

}  // namespace qe::cuda
