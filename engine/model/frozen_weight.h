// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The one owner's view of a base matrix: 4-bit packed, or dense in its stored type. Immutable after
// loading and shared by everything that runs the model.

#include "kernels/ops/quant4.h"

namespace qe {

/// W (N, K) of a Linear. Memory belongs to the model's Memory.
class FrozenWeight {
 public:
  FrozenWeight() = default;
  explicit FrozenWeight(const Tensor& dense) : dense_(dense), n_(dense.rows), k_(dense.cols) {}
  explicit FrozenWeight(const Quant4Matrix& quantized)
      : quantized_(quantized), is_quantized_(true), n_(quantized.n), k_(quantized.k) {}

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  bool is_quantized() const { return is_quantized_; }
  const Quant4Matrix& quantized() const { return quantized_; }
  const Tensor& dense() const { return dense_; }

 private:
  Tensor dense_;
  Quant4Matrix quantized_;
  bool is_quantized_ = false;
  int64_t n_ = 0;
  int64_t k_ = 0;
};

}  // namespace qe
