// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/transfer.h"

#include <cstring>

#include "kernels/cpu/row_loop.h"

namespace qe::cpu {
namespace {

float element(const void* row, DType dtype, int64_t i) {
  if (dtype == DType::kF32) return static_cast<const float*>(row)[i];
  const uint16_t bits = static_cast<const uint16_t*>(row)[i];
  return dtype == DType::kF16 ? from_f16(bits) : from_bf16(bits);
}

void set_element(void* row, DType dtype, int64_t i, float value) {
  if (dtype == DType::kF32) {
    static_cast<float*>(row)[i] = value;
  } else {
    static_cast<uint16_t*>(row)[i] = dtype == DType::kF16 ? to_f16(value) : to_bf16(value);
  }
}

}  // namespace

void copy_mapped(Context&, void* to, const void* from, size_t n_bytes) {
  if (n_bytes > 0) std::memcpy(to, from, n_bytes);
}

void cast(Context& ctx, const Tensor& x, const Tensor& y) {
  for_row_ranges(ctx, x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const void* from = x.row_range(t, 1).data;
      void* to = y.row_range(t, 1).data;
      for (int64_t i = 0; i < x.cols; ++i) set_element(to, y.dtype, i, element(from, x.dtype, i));
    }
  });
}

}  // namespace qe::cpu
