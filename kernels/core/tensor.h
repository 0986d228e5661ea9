// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A non-owning view of a row-major matrix: the one tensor type that ops take. Owners are arenas,
// pools and weights; views are copied freely and never free anything.

#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/core/dtype.h"
#include "kernels/core/error.h"

namespace qe {

/// Rows x cols elements of `dtype`; consecutive rows start `stride` elements apart (stride >=
/// cols). A vector is one row. data == nullptr is "absent", which contracts call nullable.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Device device;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  explicit operator bool() const { return data != nullptr; }
  int64_t size() const { return rows * cols; }

  /// Typed pointer to the first element. Asking for another type than dtype is a programmer error.
  float* f32() const {
    QE_CHECK(dtype == DType::kF32, "expected an F32 tensor, got ", dtype_name(dtype));
    return static_cast<float*>(data);
  }

  /// The n rows from `begin` on.
  Tensor row_range(int64_t begin, int64_t n) const {
    Tensor view = *this;
    view.data = static_cast<char*>(data) + begin * stride * static_cast<int64_t>(dtype_size(dtype));
    view.rows = n;
    return view;
  }
  /// The n columns from `begin` on.
  Tensor col_range(int64_t begin, int64_t n) const {
    Tensor view = *this;
    view.data = static_cast<char*>(data) + begin * static_cast<int64_t>(dtype_size(dtype));
    view.cols = n;
    return view;
  }
};

/// A dense view (stride == cols) of rows x cols elements at `data`.
inline Tensor make_tensor(void* data, int64_t rows, int64_t cols, DType dtype = DType::kF32,
                          Device device = {}) {
  return Tensor{data, dtype, device, rows, cols, cols};
}

/// What an op does with a gradient output: tiny-cuda-nn's GradientMode, without Ignore (an absent
/// tensor says that).
enum class GradientMode { kOverwrite, kAccumulate };

}  // namespace qe
