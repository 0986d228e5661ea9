// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/convolution.h"

#include <cstring>

#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

// Whether row t + offset is of t's sequence: positions count from 0 in each.
bool same_sequence(std::span<const uint32_t> row_indices, int64_t t, int64_t offset) {
  if (offset <= 0) return row_indices[static_cast<size_t>(t)] >= static_cast<uint64_t>(-offset);
  const auto other = static_cast<size_t>(t + offset);
  return other < row_indices.size() && row_indices[other] >= static_cast<uint64_t>(offset);
}

}  // namespace

void gather_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& x,
                    const Tensor& y) {
  const float* from = x.f32();
  float* to = y.f32();
  const int64_t width = y.cols / x.cols;
  const size_t n_bytes = static_cast<size_t>(x.cols) * sizeof(float);
  for_row_ranges(ctx, x.rows, y.cols, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t j = 0; j < width; ++j) {
        const int64_t offset = j - width / 2;
        float* block = to + t * y.stride + j * x.cols;
        if (same_sequence(row_indices, t, offset)) {
          std::memcpy(block, from + (t + offset) * x.stride, n_bytes);
        } else {
          std::memset(block, 0, n_bytes);
        }
      }
    }
  });
}

void scatter_windows(Context& ctx, std::span<const uint32_t> row_indices, const Tensor& dy,
                     const Tensor& dx, GradientMode mode) {
  const float* from = dy.f32();
  float* to = dx.f32();
  const int64_t width = dy.cols / dx.cols;
  for_row_ranges(ctx, dx.rows, dy.cols, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* sum = to + t * dx.stride;
      if (mode == GradientMode::kOverwrite) std::fill_n(sum, dx.cols, 0.0f);
      for (int64_t j = 0; j < width; ++j) {
        const int64_t offset = width / 2 - j;
        if (!same_sequence(row_indices, t, offset)) continue;
        const float* block = from + (t + offset) * dy.stride + j * dx.cols;
        for (int64_t c = 0; c < dx.cols; ++c) sum[c] += block[c];
      }
    }
  });
}

}  // namespace qe::cpu
