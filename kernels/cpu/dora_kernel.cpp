// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors

// Compiled once per instruction set (see simd.h for the rules of such files).

#include "kernels/cpu/dora_kernel.h"

#include "kernels/cpu/lane_loop.h"

namespace qe::cpu::QE_ISA {
namespace {

// The smallest square of a norm: what divides by a norm stays finite.
constexpr float kTiny = 0x1p-126f;

QE_INLINE Vec load(const uint16_t* p, bool is_f16, Whole) {
  return is_f16 ? load_f16(p) : load_bf16(p);
}
QE_INLINE Vec load(const uint16_t* p, bool is_f16, Tail tail) {
  return is_f16 ? load_f16_first(p, tail.n) : load_bf16_first(p, tail.n);
}

template <class Part>
QE_INLINE Vec factor(const float* magnitude, const float* norms, int64_t i, Part part) {
  // The lanes beyond a row's end hold 0 / 0.
  return magnitude == nullptr ? set(1.0f) : load(magnitude + i, part) / load(norms + i, part);
}

}  // namespace

void row_squares(const RowSquares& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    Vec lanes = zero();
    for_lanes(args.k, [&](int64_t i, auto part) {
      const int64_t at = row * args.stride + i;
      const Vec v = args.dtype == DType::kF32 ? load(static_cast<const float*>(args.w) + at, part)
                                              : load(static_cast<const uint16_t*>(args.w) + at,
                                                     args.dtype == DType::kF16, part);
      lanes = fma(v, v, lanes);
    });
    args.squares[row] = reduce_add(lanes);
  }
}

void dora_norm_rows(const DoraNormRows& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    float sum = 0.0f;
    for (int64_t j = 0; j < args.r; ++j) {
      const float product = args.products[j * args.products_stride + row];
      const float gram = args.gram_b[row * args.gram_b_stride + j];
      const float both = __builtin_fmaf(args.scale, gram, 2.0f * product);
      sum = __builtin_fmaf(args.b[row * args.b_stride + j], both, sum);
    }
    const float square = __builtin_fmaf(args.scale, sum, args.squares[row]);
    args.norms[row] = __builtin_sqrtf(square > kTiny ? square : kTiny);
  }
}

void dora_scale_rows(const DoraScaleRows& args, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t) {
    const float* z = args.z + t * args.z_stride;
    float* y = args.y + t * args.y_stride;
    for_lanes(args.n, [&](int64_t i, auto part) {
      Vec start = args.add ? load(y + i, part) : zero();
      if (args.bias != nullptr) start = start + load(args.bias + i, part);
      const Vec g = factor(args.magnitude, args.norms, i, part) - set(args.shift);
      store(y + i, fma(g, load(z + i, part), start), part);
    });
  }
}

void dora_scale_columns(const DoraScaleColumns& args, int64_t begin, int64_t end) {
  for_lanes(end - begin, [&](int64_t offset, auto part) {
    const int64_t column = begin + offset;
    const Vec g = factor(args.magnitude, args.norms, column, part) - set(args.shift);
    Vec sum = zero();
    for (int64_t t = 0; t < args.rows; ++t) {
      const Vec dy = load(args.dy + t * args.dy_stride + column, part);
      if (args.d_magnitude != nullptr) {
        sum = fma(dy, load(args.z + t * args.z_stride + column, part), sum);
      }
      store(args.dz + t * args.dz_stride + column, g * dy, part);
    }
    if (args.d_magnitude == nullptr) return;
    float* d_magnitude = args.d_magnitude + column;
    store(d_magnitude, load(d_magnitude, part) + sum / load(args.norms + column, part), part);
  });
}

}  // namespace qe::cpu::QE_ISA
