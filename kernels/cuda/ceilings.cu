// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// What the GPU can do at best, timed by events: a large matrix product on random data (zeros run
// faster than anything real) and a copy inside the device.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/core/cuda.h"
#include "kernels/core/philox.h"
#include "kernels/cuda/ceilings.h"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/gemm.h"

namespace qe::cuda {
namespace {

constexpr int kRepeats = 10;

struct RandomBody {
  AnyMatrix out;
  uint32_t stream;

  __device__ void operator()(int64_t row, int64_t column) const {
    const Philox4 bits =
        philox4x32({1, 2}, {static_cast<uint32_t>(row), static_cast<uint32_t>(column), stream, 0});
    const float v[4] = {2.0f * unit_float(bits.x) - 1.0f, 2.0f * unit_float(bits.y) - 1.0f,
                        2.0f * unit_float(bits.z) - 1.0f, 2.0f * unit_float(bits.w) - 1.0f};
    out.store(row, column, v);
  }
};

struct Free {
  void operator()(void* memory) const { release(MemorySpace::kDevice, memory); }
};
using Owned = std::unique_ptr<void, Free>;

/// Median seconds of one run of `body`.
template <class Body>
double median_seconds(Context& ctx, const Body& body) {
  body();
  Event begin(ctx.device.index, true);
  Event end(ctx.device.index, true);
  std::vector<double> seconds;
  for (int i = 0; i < kRepeats; ++i) {
    begin.record(ctx.stream);
    body();
    end.record(ctx.stream);
    end.wait();
    seconds.push_back(1e-3 * end.milliseconds_since(begin));
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[kRepeats / 2];
}

}  // namespace

void measure_gflops(Context& ctx, double* gflops) {
  const int64_t n = ctx.compute == DType::kF32 ? 4096 : 8192;
  const size_t n_bytes = static_cast<size_t>(n * n) * dtype_size(ctx.compute);
  Owned memory[3];
  Tensor matrices[3];
  for (uint32_t i = 0; i < 3; ++i) {
    memory[i].reset(allocate(ctx.device.index, MemorySpace::kDevice, n_bytes));
    matrices[i] = make_tensor(memory[i].get(), n, n, ctx.compute, ctx.device);
    launch_elementwise(ctx, "random", n, n, 4, RandomBody{AnyMatrix::of(matrices[i]), i});
  }
  const Owned scratch(allocate(ctx.device.index, MemorySpace::kDevice,
                               std::max<size_t>(1, cuda::gemm_workspace_bytes(ctx, n, n, n))));
  const Gemm product{.a = matrices[0], .b = matrices[1], .c = matrices[2]};
  const double seconds =
      median_seconds(ctx, [&] { cuda::gemm(ctx, product, static_cast<float*>(scratch.get())); });
  const double side = static_cast<double>(n);
  *gflops = 2e-9 * side * side * side / seconds;
}

void measure_copy_gbytes(Context& ctx, const Tensor& from, const Tensor& to, double* gbytes) {
  const size_t n_bytes = static_cast<size_t>(from.size()) * dtype_size(from.dtype);
  const double seconds =
      median_seconds(ctx, [&] { copy(to.data, from.data, n_bytes, ctx.stream); });
  *gbytes = 2e-9 * static_cast<double>(n_bytes) / seconds;
}

}  // namespace qe::cuda
