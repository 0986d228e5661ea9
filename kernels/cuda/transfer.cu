// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Copies over the bus, and conversion between element types.
//
// A kernel that reads or writes the host's memory needs few threads to fill the bus: 4 blocks of
// 512, with four packs of 16 bytes in flight each, copy 51 GB/s there and 52 back on an H100, as
// 132 do and as its copy engines do (55) between pinned memory and its own.
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

constexpr int kMappedThreads = 512;
constexpr int kMappedBlocks = 4;

__global__ void __launch_bounds__(kMappedThreads)
    copy_mapped_kernel(char* to, const char* from, size_t n_packs, size_t n_bytes) {
  constexpr size_t kThreads = size_t{kMappedBlocks} * kMappedThreads;
  constexpr int kInFlight = 4;
  const size_t thread = size_t{blockIdx.x} * kMappedThreads + threadIdx.x;
  auto* const out = reinterpret_cast<uint4*>(to);
  const auto* const in = reinterpret_cast<const uint4*>(from);
  size_t i = thread;
  for (; i + (kInFlight - 1) * kThreads < n_packs; i += kInFlight * kThreads) {
    uint4 v[kInFlight];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) v[j] = in[i + j * kThreads];
#pragma unroll
    for (int j = 0; j < kInFlight; ++j) out[i + j * kThreads] = v[j];
  }
  for (; i < n_packs; i += kThreads) out[i] = in[i];
  for (size_t at = n_packs * sizeof(uint4) + thread; at < n_bytes; at += kThreads) {
    to[at] = from[at];
  }
}

}  // namespace

void copy_mapped(Context& ctx, void* to, const void* from, size_t n_bytes) {
  if (n_bytes == 0) return;
  const auto aligned = [](const void* p) {
    return reinterpret_cast<uintptr_t>(p) % sizeof(uint4) == 0;
  };
  const size_t n_packs = aligned(to) && aligned(from) ? n_bytes / sizeof(uint4) : 0;
  launch(ctx, "copy_mapped_kernel", copy_mapped_kernel, dim3(kMappedBlocks), dim3(kMappedThreads),
         0, static_cast<char*>(to), static_cast<const char*>(from), n_packs, n_bytes);
}

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
