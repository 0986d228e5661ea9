// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Blockwise 4-bit quantization (QLoRA, Dettmers et al. 2023, arXiv:2305.14314, section 3).
//
// Decoding streams: 0.5 bytes of codes and 1/64 of a scale come in for every 2 bytes that go out,
// so it runs at the speed of a copy as long as enough loads are in flight. A thread decodes 8
// weights at a time (4 bytes in, 16 out), four such packs a block's width apart. 8 neighbouring
// weights always share a block of 32 or more, whatever rows they lie in: weights are numbered along
// the flattened matrix, and rows matter only where the output leaves gaps between them. Codes are
// read once (evict first); the output stays in L2 for the product that follows. Used at load time
// and, for products of many tokens, before each cuBLASLt product whose weight is not kept in 16
// bits.
//
// Encoding gives one block to a warp: largest magnitude, then codes. Its scales are finished on the
// host (the mean is one sum in ascending order, the CPU's bits): it runs at load time only.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/core/cuda.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/quant4.cuh"
#include "kernels/cuda/quant4.h"
#include "kernels/cuda/reduce.cuh"

namespace qe::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWeights = 8;  // of a thread at a time
constexpr int kPacks = 4;    // of a thread

template <class T>
__device__ void store_weights(T* to, const float (&value)[kWeights]) {
  if constexpr (sizeof(T) == 2) {
    store_pack(to, value);
  } else {
    const float low[4] = {value[0], value[1], value[2], value[3]};
    const float high[4] = {value[4], value[5], value[6], value[7]};
    store_pack(to, low);
    store_pack(to + 4, high);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    dequantize_kernel(const __grid_constant__ Quant4Plan q, int64_t n, bool aligned, bool round,
                      T* out, int64_t cols, int64_t gap) {
  __shared__ Quant4Tables tables;
  tables.fill(q);
  __syncthreads();
  const int64_t first = (int64_t{blockIdx.x} * kPacks * kThreads + threadIdx.x) * kWeights;
  uint32_t codes[kPacks];
  float scales[kPacks];
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    const int64_t at = first + int64_t{i} * kThreads * kWeights;
    codes[i] = 0;
    scales[i] = 0.0f;
    if (at >= n) continue;
    if (aligned && at + kWeights <= n) {
      codes[i] = __ldcs(reinterpret_cast<const uint32_t*>(q.codes + at / 2));
    } else {
      for (int64_t j = 0; j < kWeights && at + j < n; j += 2) {
        codes[i] |= uint32_t{q.codes[(at + j) / 2]} << (4 * j);
      }
    }
    scales[i] = tables.scale(q, at >> q.block_shift);
  }
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    const int64_t at = first + int64_t{i} * kThreads * kWeights;
    if (at >= n) return;
    float value[kWeights];
#pragma unroll
    for (int j = 0; j < kWeights; ++j) {
      // Byte j / 2, the first weight of it in the high nibble.
      const uint32_t code = codes[i] >> (4 * (j ^ 1)) & 15u;
      value[j] = __fmul_rn(tables.levels[code], scales[i]);
      if (round) value[j] = round_to(q.dtype, value[j]);
    }
    if (aligned && at + kWeights <= n) {
      store_weights(out + at + (gap == 0 ? 0 : at / cols * gap), value);
    } else {
      for (int j = 0; j < kWeights; ++j) {
        if (at + j < n) out[at + j + (at + j) / cols * gap] = from_float<T>(value[j]);
      }
    }
  }
}

// kernels/core/quant_codebook.h's thresholds as kernels take them.
struct Encoder {
  bool fp4;
  float thresholds[15];
  uint32_t code_of_rank[16];

  // A code by how many of the ascending thresholds lie below x (strictly).
  __device__ uint32_t encode(float x) const {
    const float position = fp4 ? fabsf(x) : x;
    uint32_t rank = 0;
#pragma unroll
    for (int i = 0; i < 15; ++i) rank += thresholds[i] < position ? 1u : 0u;
    return code_of_rank[rank] | (fp4 && x < 0.0f ? 8u : 0u);
  }
};

Encoder encoder_of(Quant4Type type) {
  Encoder e{.fp4 = type == Quant4Type::kFp4};
  std::fill_n(e.thresholds, 15, std::numeric_limits<float>::infinity());
  if (e.fp4) {
    std::copy_n(kFp4Thresholds, 7, e.thresholds);
    std::copy_n(kFp4CodeOfRank, 8, e.code_of_rank);
  } else {
    std::copy_n(kNf4Thresholds, 15, e.thresholds);
    for (uint32_t i = 0; i < 16; ++i) e.code_of_rank[i] = i;
  }
  return e;
}

// One warp for one block. A block that holds NaN or infinity gets an absmax of NaN.
template <class T>
__global__ void __launch_bounds__(kThreads)
    quantize_kernel(const T* w, int64_t n, int64_t block_size,
                    const __grid_constant__ Encoder encoder, uint8_t* codes, float* absmax) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t block =
      int64_t{blockIdx.x} * (kThreads / kWarp) + static_cast<int>(threadIdx.x) / kWarp;
  const int64_t begin = block * block_size;
  if (begin >= n) return;
  const int64_t end = begin + block_size < n ? begin + block_size : n;
  float largest = 0.0f;
  bool finite = true;
  for (int64_t i = begin + lane; i < end; i += kWarp) {
    const float x = to_float(w[i]);
    finite = finite && isfinite(x);
    largest = fmaxf(largest, fabsf(x));
  }
  largest = warp_reduce(largest, Maximum{});
  finite = __all_sync(0xffffffffu, finite);
  if (lane == 0) absmax[block] = finite ? largest : __int_as_float(0x7fc00000);
  const float reciprocal = __frcp_rn(largest);
  const auto code_of = [&](int64_t i) {
    const float x = i < end ? to_float(w[i]) : 0.0f;
    // The reciprocal of 0 and of some subnormals is infinite; zeros stay zeros all the same.
    return encoder.encode(x == 0.0f ? 0.0f : __fmul_rn(x, reciprocal));
  };
  for (int64_t i = begin + 2 * lane; i < end; i += 2 * kWarp) {
    codes[i / 2] = static_cast<uint8_t>(code_of(i) << 4 | code_of(i + 1));
  }
}

// The entry of the ascending map (256) nearest to x; a tie takes the even index.
__device__ uint8_t nearest_code(const float* map, float x) {
  int above = 0;  // the first entry greater than x
  for (int step = 128; step > 0; step /= 2) {
    if (map[above + step - 1] <= x) above += step;
  }
  if (map[above] <= x) ++above;
  if (above == 0) return 0;
  if (above == 256) return 255;
  const int low = above - 1;
  const float middle = __fmul_rn(__fadd_rn(map[low], map[low + 1]), 0.5f);
  if (x == middle) return static_cast<uint8_t>(low + (low & 1));
  return static_cast<uint8_t>(x < middle ? low : low + 1);
}

// One block of 256 threads for 256 scales.
__global__ void __launch_bounds__(kThreads)
    quantize_scales_kernel(const float* absmax, int64_t n, float offset, const float* map,
                           uint8_t* codes, float* nested_absmax) {
  __shared__ float lanes[kWarp];
  __shared__ float table[256];
  table[threadIdx.x] = map[threadIdx.x];
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const float centred = i < n ? __fsub_rn(absmax[i], offset) : 0.0f;
  const float largest = block_reduce(fabsf(centred), Maximum{}, 0.0f, lanes);
  __syncthreads();  // the table is there
  if (threadIdx.x == 0) nested_absmax[blockIdx.x] = largest;
  if (i >= n) return;
  const float reciprocal = __frcp_rn(largest);
  codes[i] = nearest_code(table, centred == 0.0f ? 0.0f : __fmul_rn(centred, reciprocal));
}

// Throws Error naming the first element that is not finite; `block` holds it.
[[noreturn]] void fail_not_finite(Context& ctx, const Tensor& w, int64_t begin, int64_t n) {
  std::vector<char> bytes(static_cast<size_t>(n) * dtype_size(w.dtype));
  copy(bytes.data(),
       static_cast<const char*>(w.data) + begin * static_cast<int64_t>(dtype_size(w.dtype)),
       bytes.size(), ctx.stream);
  synchronize(ctx.stream);
  int64_t bad = begin;
  for (int64_t i = 0; i < n; ++i) {
    const float value = w.dtype == DType::kF32 ? reinterpret_cast<const float*>(bytes.data())[i]
                        : w.dtype == DType::kBF16
                            ? from_bf16(reinterpret_cast<const uint16_t*>(bytes.data())[i])
                            : from_f16(reinterpret_cast<const uint16_t*>(bytes.data())[i]);
    if (std::isfinite(value)) continue;
    bad = begin + i;
    break;
  }
  fail("quantize4: expected finite weights, got NaN or infinity at row ", bad / w.cols, ", column ",
       bad % w.cols);
}

}  // namespace

void dequantize4(Context& ctx, const Quant4Matrix& q, const Tensor& out) {
  const int64_t n = q.n * q.k;
  const int64_t gap = out.rows > 1 ? out.stride - out.cols : 0;  // between rows
  const bool whole_packs = gap == 0 || (q.k % kWeights == 0 && out.stride % kWeights == 0);
  const bool aligned = whole_packs && reinterpret_cast<uintptr_t>(out.data) % 16 == 0 &&
                       reinterpret_cast<uintptr_t>(q.codes) % 4 == 0;
  const bool round = q.dtype != DType::kF32 && q.dtype != out.dtype;
  const dim3 grid(static_cast<unsigned>(ceil_div(n, int64_t{kThreads} * kPacks * kWeights)));
  with_type(out.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch(ctx, "dequantize_kernel", dequantize_kernel<T>, grid, dim3(kThreads), 0, plan_quant4(q),
           n, aligned, round, static_cast<T*>(out.data), q.k, gap);
  });
}

void quantize4(Context& ctx, const Tensor& w, Quant4Matrix& out, float* absmax) {
  const int64_t n = w.size();
  const int64_t n_blocks = out.n_blocks();
  if (n == 0) return;
  with_type(w.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    launch(ctx, "quantize_kernel", quantize_kernel<T>,
           dim3(static_cast<unsigned>(ceil_div(n_blocks, kThreads / kWarp))), dim3(kThreads), 0,
           static_cast<const T*>(w.data), n, out.block_size, encoder_of(out.type), out.codes,
           absmax);
  });
  std::vector<float> scales(static_cast<size_t>(n_blocks));
  copy(scales.data(), absmax, scales.size() * sizeof(float), ctx.stream);
  synchronize(ctx.stream);
  double sum = 0.0;
  for (int64_t i = 0; i < n_blocks; ++i) {
    const float scale = scales[static_cast<size_t>(i)];
    if (std::isnan(scale)) {
      const int64_t begin = i * out.block_size;
      fail_not_finite(ctx, w, begin, std::min(out.block_size, n - begin));
    }
    sum += static_cast<double>(scale);
  }
  if (!out.nested()) return;
  out.nested_offset = static_cast<float>(sum / static_cast<double>(n_blocks));
  launch(ctx, "quantize_scales_kernel", quantize_scales_kernel,
         dim3(static_cast<unsigned>(out.n_nested_blocks())), dim3(kThreads), 0,
         static_cast<const float*>(absmax), n_blocks, out.nested_offset, out.nested_map,
         out.absmax_codes, out.nested_absmax);
}

}  // namespace qe::cuda
