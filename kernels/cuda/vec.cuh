// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Elements of tensors in kernels: conversions to and from fp32, packs of 16 bytes, and the step
// from a DType to a C++ type.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/core/error.h"
#include "kernels/core/tensor.h"

namespace qe::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

/// Rounds to nearest even.
template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline __half from_float<__half>(float x) {
  return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16_rn(x);
}

/// N elements that are loaded and stored at once; N * sizeof(T) is 4, 8 or 16 bytes, and addresses
/// are multiples of it.
template <class T, int N>
struct alignas(N * sizeof(T)) Pack {
  T at[N];
};

/// Elements of T in 16 bytes.
template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

template <int N, class T>
__device__ inline void load_pack(const T* from, float (&to)[N]) {
  const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(from);
#pragma unroll
  for (int i = 0; i < N; ++i) to[i] = to_float(pack.at[i]);
}
template <int N, class T>
__device__ inline void store_pack(T* to, const float (&from)[N]) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.at[i] = from_float<T>(from[i]);
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

/// Whether rows of t may be read in packs of `n` elements: base, stride and columns are multiples.
inline bool packable(const Tensor& t, int64_t n) {
  return t.cols % n == 0 && (t.stride % n == 0 || t.rows <= 1) &&
         reinterpret_cast<uintptr_t>(t.data) % (static_cast<uintptr_t>(n) * dtype_size(t.dtype)) ==
             0;
}

/// A type as a value, for generic lambdas.
template <class T>
struct Type {
  using type = T;
};

/// f(Type<T>{}) for the C++ type T of a floating dtype: float, __half or __nv_bfloat16.
template <class Function>
void with_type(DType dtype, const Function& f) {
  switch (dtype) {
    case DType::kF32:
      return f(Type<float>{});
    case DType::kF16:
      return f(Type<__half>{});
    case DType::kBF16:
      return f(Type<__nv_bfloat16>{});
    default:
      fail("no kernel computes in ", dtype_name(dtype));
  }
}

}  // namespace qe::cuda
