// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Dense products by NVIDIA's cuBLASLt, opened with dlopen when the first product is computed: a
// program with the CUDA backend starts, and everything but products runs, where it is missing.
//
// Sums are fp32 (true fp32 for fp32 operands, no TF32), in an order that the algorithm fixes: no
// split-K, no atomics. The algorithm of a shape is timed among the library's candidates when the
// shape is first seen, or with set_deterministic(true) simply the library's first. Either way it
// stays for the life of the object. choices() and adopt() carry it over to another run; from then
// on shapes not seen before get the library's first, so that both runs go on alike.

#include <memory>
#include <string>

#include "kernels/ops/gemm.h"

namespace qe::cuda {

/// Products of one shape at equal distances, computed together: elements from one product's
/// operand to the next one's. Only with kOverwrite and without a bias.
struct GemmBatch {
  int64_t count = 1;
  int64_t a_offset = 0, b_offset = 0, c_offset = 0;
};

class CublasLt {
 public:
  /// Opens the library. Throws Error naming the files tried.
  CublasLt();
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  /// The library's version: 130100 is 13.1.0.
  size_t version() const;
  /// No timing: results depend on the shape and the library only. Before the first product.
  void set_deterministic(bool deterministic);

  /// The library refuses others, which its manual does not say.
  static constexpr size_t kWorkspaceAlignment = 256;
  /// The product, on the context's stream. `workspace`: kWorkspaceAlignment-aligned. Returns false,
  /// having done nothing, where the library has no algorithm for the operands' layout.
  bool gemm(Context& ctx, const Gemm& args, void* workspace, size_t workspace_bytes,
            const GemmBatch& batch = {});

  /// Who chose and, timed, all choices made so far (kernels/cuda/algorithm_choices.h); "" before
  /// the first product. Ends the timing.
  std::string choices() const;
  /// Takes over choices made before. Returns "" or, having taken over nothing, why these are not
  /// usable here (other library version, other GPU, other way of choosing, damaged text).
  std::string adopt(const Context& ctx, const std::string& text);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qe::cuda
