// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Conversion between element types.
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/transfer.h"

namespace qe::cuda {
namespace {

template <int N>
struct CastBody {
  AnyMatrix x, y;

  __device__ void operator()(int64_t row, int64_t column) const {
    float v[N];
    x.load(row, column, v);
    y.store(row, column, v);
  }
};

}  // namespace

void cast(Context& ctx, const Tensor& x, const Tensor& y) {
  constexpr int kN = 4;
  const AnyMatrix from = AnyMatrix::of(x);
  const AnyMatrix to = AnyMatrix::of(y);
  if (packable(x, kN) && packable(y, kN)) {
    launch_elementwise(ctx, "cast", x.rows, x.cols, kN, CastBody<kN>{from, to});
  } else {
    launch_elementwise(ctx, "cast", x.rows, x.cols, 1, CastBody<1>{from, to});
  }
}

}  // namespace qe::cuda
