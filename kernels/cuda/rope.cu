// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Rotary positions in place. A thread turns packs of both halves of a head.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/rope.h"

namespace qe::cuda {
namespace {

template <class T, int N>
struct RopeBody {
  const uint32_t* positions;
  const float* table;
  int64_t table_stride, half;
  float sign;
  T* x;
  int64_t x_stride;

  // column counts the first halves of all heads.
  __device__ void operator()(int64_t row, int64_t column) const {
    const int64_t head = column / half;
    const int64_t j = column - head * half;
    T* first = x + row * x_stride + head * 2 * half + j;
    const float* cosines = table + positions[row] * table_stride + j;
    float a[N], b[N];
    load_pack(first, a);
    load_pack(first + half, b);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const float c = cosines[i];
      const float s = sign * cosines[half + i];
      const float turned = fmaf(-b[i], s, a[i] * c);
      b[i] = fmaf(a[i], s, b[i] * c);
      a[i] = turned;
    }
    store_pack(first, a);
    store_pack(first + half, b);
  }
};

template <class T, int N>
void turn(Context& ctx, const Rope& spec, const Tensor& x, bool back) {
  const int64_t half = spec.head_dim / 2;
  launch_elementwise(ctx, "rope", x.rows, spec.n_heads * half, N,
                     RopeBody<T, N>{spec.positions.data(), spec.table.f32(), spec.table.stride,
                                    half, back ? -1.0f : 1.0f, static_cast<T*>(x.data), x.stride});
}

}  // namespace

void rope(Context& ctx, const Rope& spec, const Tensor& x, bool back) {
  with_type(ctx.compute, [&](auto type) {
    using T = typename decltype(type)::type;
    constexpr int kN = kPack<T>;
    const int64_t half = spec.head_dim / 2;
    const bool packs = half % kN == 0 && x.stride % kN == 0 &&
                       packable(x.col_range(0, spec.n_heads * spec.head_dim), kN);
    if (packs) {
      turn<T, kN>(ctx, spec, x, back);
    } else {
      turn<T, 1>(ctx, spec, x, back);
    }
  });
}

}  // namespace qe::cuda
