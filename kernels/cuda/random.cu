// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Random values: one thread for a word of the stream.
#include "kernels/core/random_word.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/random.h"
#include "kernels/cuda/vec.cuh"

namespace qe::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void random_uniform_kernel(uint64_t stream, float unit, T* out, int64_t n) {
  const int64_t at = 2 * (int64_t{blockIdx.x} * kThreads + threadIdx.x);
  const uint64_t word = random_word(stream, static_cast<uint64_t>(at) / 2);
  if (at < n) out[at] = from_float<T>(random_element(word, 0, unit));
  if (at + 1 < n) out[at + 1] = from_float<T>(random_element(word, 1, unit));
}

__global__ void random_bytes_kernel(uint64_t stream, uint8_t* out, int64_t n) {
  const int64_t word_at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const uint64_t word = random_word(stream, static_cast<uint64_t>(word_at));
  for (int64_t i = 0; i < min(n - 8 * word_at, int64_t{8}); ++i) {
    out[8 * word_at + i] = static_cast<uint8_t>(word >> (8 * i));
  }
}

dim3 blocks(int64_t n_words) { return dim3(static_cast<unsigned>(ceil_div(n_words, kThreads))); }

template <class T>
void fill(Context& ctx, uint64_t stream, float limit, const Tensor& out) {
  launch(ctx, "random_uniform_kernel", random_uniform_kernel<T>, blocks(ceil_div(out.size(), 2)),
         dim3(kThreads), 0, stream, limit * 0x1p-31f, static_cast<T*>(out.data), out.size());
}

}  // namespace

void random_uniform(Context& ctx, uint64_t stream, float limit, const Tensor& out) {
  if (out.size() == 0) return;
  if (out.dtype == DType::kF32) return fill<float>(ctx, stream, limit, out);
  if (out.dtype == DType::kF16) return fill<__half>(ctx, stream, limit, out);
  fill<__nv_bfloat16>(ctx, stream, limit, out);
}

void random_bytes(Context& ctx, uint64_t stream, std::span<uint8_t> out) {
  if (out.empty()) return;
  const auto n = static_cast<int64_t>(out.size());
  launch(ctx, "random_bytes_kernel", random_bytes_kernel, blocks(ceil_div(n, int64_t{8})),
         dim3(kThreads), 0, stream, out.data(), n);
}

}  // namespace qe::cuda
