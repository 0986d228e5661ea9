// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Somebody else's matrix product, opened on demand to compare ours with. The engine never computes
// with it: such libraries' bits depend on threads and shapes.

#include <memory>
#include <string>

#include "kernels/ops/gemm.h"

namespace qe::tools {

class CblasLibrary {
 public:
  /// Opens a shared library that has cblas_sgemm, and sets it to one thread where it is known how
  /// (OpenBLAS; MKL and BLIS read MKL_NUM_THREADS and BLIS_NUM_THREADS). Throws Error.
  explicit CblasLibrary(const std::string& path);

  /// c = op(a) op(b), all fp32 and dense.
  void sgemm(const Gemm& product) const;
  /// Its path, and which kernel it chose where it says so.
  const std::string& name() const { return name_; }

 private:
  struct Close {
    void operator()(void* library) const;
  };
  std::unique_ptr<void, Close> library_;
  void* sgemm_ = nullptr;
  std::string name_;
};

}  // namespace qe::tools
