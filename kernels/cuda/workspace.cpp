// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Scratch of the CUDA backend's ops, in every build: planning for a GPU needs no CUDA.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/choices.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/lora.h"
#include "kernels/cuda/matmul4.h"

namespace qe::cuda {

// What NVIDIA recommends for its own libraries: 32 MiB from Hopper on, 4 before; and what it takes
// to begin at a multiple of kWorkspaceAlignment, where arenas begin at multiples of 64.
size_t gemm_workspace_bytes(const Context& ctx, int64_t m, int64_t n, int64_t k) {
  if (m == 0 || n == 0 || k == 0) return 0;
  return (size_t{ctx.limits.compute_capability >= 90 ? 32u : 4u} << 20) +
         CublasLt::kWorkspaceAlignment;
}

// The decoded weight lies behind the product's workspace.
size_t matmul4_workspace_bytes(const Context& ctx, int64_t m, const Quant4Matrix& w, bool forward) {
  if (m == 0 || w.n == 0 || w.k == 0) return 0;
  size_t dense = cuda::gemm_workspace_bytes(ctx, m, w.n, w.k);
  if (!w.expanded) dense += static_cast<size_t>(w.n * w.k) * dtype_size(ctx.compute);
  if (!forward || !few_tokens(ctx, m, w)) return dense;
  // Operands that are not aligned take the other way, whatever was planned.
  const Split split = choose_split(ctx, w.n, w.k);
  return std::max(dense, static_cast<size_t>(split.parts * m * w.n) * sizeof(float));
}

size_t add_outer_products_workspace_bytes(const Context& ctx, int64_t n_tokens, int64_t n_left,
                                          int64_t n_right) {
  if (n_tokens == 0 || n_left == 0 || n_right == 0) return 0;
  const size_t product = cuda::gemm_workspace_bytes(ctx, n_left, n_right, n_tokens);
  if (!has_outer_products_kernel(ctx, n_left, n_right)) return product;
  const Slices slices =
      choose_slices(n_tokens, std::max(n_left, n_right), std::min(n_left, n_right));
  // Operands that are not aligned take the other way, whatever was planned.
  return std::max(product, static_cast<size_t>(slices.n * n_left * n_right) * sizeof(float));
}

size_t attention_workspace_bytes(const Context& ctx, const AttentionShape& shape, int64_t n_tokens,
                                 bool backward) {
  if (!backward) return 0;
  return static_cast<size_t>(n_tokens * shape.n_heads * (1 + drop_words(ctx, shape))) *
         sizeof(float);
}

}  // namespace qe::cuda
