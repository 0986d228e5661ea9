// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Tensor cores, sm_80 and newer: mma.sync m16n8k16 of bf16 or fp16 with fp32 sums, ldmatrix and
// cp.async, and the two products that attention consists of.
//
// Fragments (lane = 4 g + t, g in 0..7, t in 0..3) as the PTX manual draws them:
//   C, 16 x 8:  c0 c1 = row g, columns 2t 2t+1;  c2 c3 = row g + 8
//   A, 16 x 16: a0 = row g, columns 2t 2t+1; a1 = row g + 8; a2, a3 = the same 8 columns on
//   B, 16 x 8:  b0 = rows 2t 2t+1 of column g; b1 = 8 rows on
// Two C fragments side by side, rounded to 16 bits, are one A fragment: probabilities go from one
// product into the next without leaving registers.
//
// Tiles in shared memory are row-major with 16 bytes of padding. A row then is an odd number of
// 16-byte chunks for every head size (multiples of 16), so the eight rows that ldmatrix reads at
// once start in eight different groups of four banks: no conflicts, as with a swizzle, and every
// address is one lane's base plus a constant.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace qe::cuda {

constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2 = 0.69314718055994531f;
constexpr float kInfinity = __builtin_huge_valf();

/// Bytes of a tile's row of `columns` 16-bit elements.
constexpr int row_bytes(int columns) { return columns * 2 + 16; }

__device__ inline uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/// 16 bytes from global to shared memory, asynchronously; zeros, and nothing read, unless `inside`.
__device__ inline void copy_async(uint32_t shared, const void* global, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(inside ? 16 : 0)
               : "memory");
}
/// Waits for all of this thread's copies.
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

/// Four 8 x 8 matrices of 16-bit elements; lane l points to row l % 8 of matrix l / 8.
__device__ inline void load_matrices(uint32_t (&to)[4], uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared)
               : "memory");
}
/// As load_matrices, each matrix transposed.
__device__ inline void load_transposed(uint32_t (&to)[4], uint32_t shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared)
               : "memory");
}

/// c += a b.
template <class T>
__device__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template <>
__device__ inline void multiply_add<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4],
                                                   uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ inline void multiply_add<__half>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                            uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#else  // older: the kernels are compiled, and never chosen

__device__ inline void copy_async(uint32_t, const void*, bool) { __trap(); }
__device__ inline void wait_for_copies() { __trap(); }
__device__ inline void load_matrices(uint32_t (&)[4], uint32_t) { __trap(); }
__device__ inline void load_transposed(uint32_t (&)[4], uint32_t) { __trap(); }
template <class T>
__device__ void multiply_add(float (&)[4], const uint32_t (&)[4], uint32_t, uint32_t) {
  __trap();
}

#endif

/// Two fp32 rounded to 16 bits, `low` in the lower half.
template <class T>
__device__ uint32_t pack2(float low, float high);
template <>
__device__ inline uint32_t pack2<__nv_bfloat16>(float low, float high) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&both);
}
template <>
__device__ inline uint32_t pack2<__half>(float low, float high) {
  const __half2 both = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&both);
}

/// 2^x, 2 ulp, 0 for -infinity.
__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// The place of a lane in its warp's fragments.
struct Lane {
  int g, t;
  // Of a 16 x 16 tile's four matrices, for ldmatrix: rows then columns (A, and B from rows of
  // depth), and columns then rows (B from rows of columns, and A transposed).
  int row_first, row_first_chunk, column_first, column_first_chunk;

  __device__ Lane() {
    const int lane = static_cast<int>(threadIdx.x % 32);
    g = lane / 4;
    t = lane % 4;
    row_first = lane % 16;
    row_first_chunk = lane / 16;
    column_first = lane % 8 + lane / 16 * 8;
    column_first_chunk = lane / 8 % 2;
  }
  __device__ uint32_t rows(int bytes_per_row) const {
    return static_cast<uint32_t>(row_first * bytes_per_row + row_first_chunk * 16);
  }
  __device__ uint32_t columns(int bytes_per_row) const {
    return static_cast<uint32_t>(column_first * bytes_per_row + column_first_chunk * 16);
  }
};

/// c (16 kM x 8 kN) += a b^T over kDim columns: a and b are tiles of kDim columns, `a` offset by
/// Lane::rows, `b` by Lane::columns.
template <class T, int kDim, int kM, int kN>
__device__ inline void multiply_rows(float (&c)[kM][kN][4], uint32_t a, uint32_t b) {
  constexpr int kRow = row_bytes(kDim);
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    uint32_t left[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) load_matrices(left[m], a + m * 16 * kRow + k * 32);
#pragma unroll
    for (int n = 0; n < kN / 2; ++n) {
      uint32_t right[4];
      load_matrices(right, b + n * 16 * kRow + k * 32);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        multiply_add<T>(c[m][2 * n], left[m], right[0], right[1]);
        multiply_add<T>(c[m][2 * n + 1], left[m], right[2], right[3]);
      }
    }
  }
}

/// c (16 kM x kDim) += p b for 16 rows of b: `p` is 16 kM x 16, `b` a tile of kDim columns offset
/// by Lane::rows.
template <class T, int kDim, int kM>
__device__ inline void multiply_columns(float (&c)[kM][kDim / 8][4], const uint32_t (&p)[kM][4],
                                        uint32_t b) {
#pragma unroll
  for (int n = 0; n < kDim / 16; ++n) {
    uint32_t right[4];
    load_transposed(right, b + n * 32);
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      multiply_add<T>(c[m][2 * n], p[m], right[0], right[1]);
      multiply_add<T>(c[m][2 * n + 1], p[m], right[2], right[3]);
    }
  }
}

/// Columns 16 k .. 16 k + 15 of c as A fragments.
template <class T, int kM, int kN>
__device__ inline void pack_columns(uint32_t (&to)[kM][4], const float (&c)[kM][kN][4], int k) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
    to[m][0] = pack2<T>(c[m][2 * k][0], c[m][2 * k][1]);
    to[m][1] = pack2<T>(c[m][2 * k][2], c[m][2 * k][3]);
    to[m][2] = pack2<T>(c[m][2 * k + 1][0], c[m][2 * k + 1][1]);
    to[m][3] = pack2<T>(c[m][2 * k + 1][2], c[m][2 * k + 1][3]);
  }
}

template <int kM, int kN>
__device__ inline void clear(float (&c)[kM][kN][4]) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kN; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) c[m][n][i] = 0.0f;
    }
  }
}

/// Starts copying rows begin .. begin + kRows - 1 of a (length, dim) matrix into a tile of kDim
/// columns, row r to the tile's row place(r); zeros outside the matrix. By kThreads threads.
template <int kRows, int kDim, int kThreads, class T, class Place>
__device__ inline void load_tile(uint32_t tile, const T* matrix, int64_t stride, int dim, int begin,
                                 int length, const Place& place) {
  constexpr int kChunks = kDim / 8;
#pragma unroll
  for (int i = 0; i < (kRows * kChunks + kThreads - 1) / kThreads; ++i) {
    const int at = i * kThreads + static_cast<int>(threadIdx.x);
    const int row = at / kChunks;
    const int chunk = at % kChunks;
    if (kRows * kChunks % kThreads != 0 && row >= kRows) break;
    const bool inside = begin + row < length && chunk * 8 < dim;
    const T* from = inside ? matrix + (begin + row) * stride + chunk * 8 : matrix;
    copy_async(tile + place(row) * row_bytes(kDim) + chunk * 16, from, inside);
  }
}

/// Writes a warp's 16 kM x kDim fragments, times `factor` of (m, upper or lower half), to its rows
/// of a tile. `tile` points to the first of them.
template <class T, int kDim, int kM, class Factor>
__device__ inline void fragments_to_tile(char* tile, const Lane& lane,
                                         const float (&c)[kM][kDim / 8][4], const Factor& factor) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float f = factor(m, half);
      char* row = tile + (m * 16 + half * 8 + lane.g) * row_bytes(kDim) + lane.t * 4;
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        *reinterpret_cast<uint32_t*>(row + n * 16) =
            pack2<T>(c[m][n][2 * half] * f, c[m][n][2 * half + 1] * f);
      }
    }
  }
}

/// Stores rows begin .. of a (length, dim) matrix from a warp's kRows rows of a tile; row r is in
/// the tile's row place(r).
template <int kRows, int kDim, class T, class Place>
__device__ inline void store_rows(const char* tile, T* matrix, int64_t stride, int dim, int begin,
                                  int length, const Place& place) {
  constexpr int kChunks = kDim / 8;
#pragma unroll
  for (int i = 0; i < (kRows * kChunks + 31) / 32; ++i) {
    const int at = i * 32 + static_cast<int>(threadIdx.x % 32);
    const int row = at / kChunks;
    const int chunk = at % kChunks;
    if (row < kRows && begin + row < length && chunk * 8 < dim) {
      *reinterpret_cast<uint4*>(matrix + (begin + row) * stride + chunk * 8) =
          *reinterpret_cast<const uint4*>(tile + place(row) * row_bytes(kDim) + chunk * 16);
    }
  }
}

/// Places of rows in tiles (load_tile, store_rows): as they come, and two orders for dropout.
struct InOrder {
  __device__ int operator()(int row) const { return row; }
};
/// Where the rows are keys that become columns of scores: in each group of 16, thread t's columns
/// (2t and 2t + 1 of two fragments) are keys 4t .. 4t + 3.
struct QuadsInColumns {
  __device__ int operator()(int row) const {
    return (row & ~15) | ((row & 2) << 2) | ((row >> 1) & 6) | (row & 1);
  }
};
/// Where the rows are keys that stay rows of scores: in each group of kGroup (16 or 32), the rows
/// of threads with the same g (g, g + 8, ...) are keys kGroup / 8 * g and following.
template <int kGroup>
struct QuadsInRows {
  __device__ int operator()(int row) const {
    constexpr int kEach = kGroup / 8;
    const int in_group = row % kGroup;
    return row - in_group + in_group % kEach * 8 + in_group / kEach;
  }
};

}  // namespace qe::cuda
