// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
// Scratch of the CUDA backend's ops, in every build: planning for a GPU needs no CUDA.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/choices.h"
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/embedding.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/layernorm.h"
#include "kernels/cuda/lora.h"
#include "kernels/cuda/matmul4.h"

namespace qe::cuda {
namespace {

// 16-bit elements whose rows begin at multiples of 16 bytes.
bool in_whole_packs(const Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && t.stride % 8 == 0;
}

}  // namespace

// The library's; what it takes to begin at a multiple of kWorkspaceAlignment, where arenas begin at
// multiples of 64; and the parts of long sums: not less for fewer rows, as a plan is made for the
// most.
size_t gemm_workspace_bytes(const Context& ctx, int64_t m, int64_t n, int64_t k) {
  if (m == 0 || n == 0 || k == 0) return 0;
  const int64_t parts =
      k < kLongSum ? 0 : std::min(kSumPartBytes, kMaxSumParts * m * n * int64_t{sizeof(float)});
  return product_library_bytes(ctx) + CublasLt::kWorkspaceAlignment + static_cast<size_t>(parts);
}

size_t column_sums_workspace_bytes(int64_t rows, int64_t cols) {
  return static_cast<size_t>(most_row_slices(rows, cols) * cols) * sizeof(float);
}

size_t layernorm_sums_workspace_bytes(int64_t rows, int64_t cols) {
  return static_cast<size_t>(most_norm_slices(rows) * 2 * cols) * sizeof(float);
}

// Rows of the table, tokens and rows in order; then two sums for each piece.
size_t embedding_backward_workspace_bytes(int64_t n_tokens, int64_t cols) {
  const int64_t n_pieces = pieces(n_tokens, kEmbeddingPiece);
  return static_cast<size_t>(n_pieces * (3 * kEmbeddingPiece + 2 * cols)) * sizeof(float);
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

bool lora_joins(int64_t n_rows, bool decodes) {
  constexpr int64_t kDecodingRows = 128;  // fewer: the 4-bit kernel for few tokens
  constexpr int64_t kCopyingRows = 2048;
  return n_rows >= (decodes ? kDecodingRows : kCopyingRows);
}

bool has_dropped_products(const Context& ctx, const DroppedProduct& product) {
  bool fits = ctx.compute != DType::kF32 && ctx.limits.compute_capability >= 80 &&
              product.x.cols % 8 == 0 && in_whole_packs(product.x) && in_whole_packs(product.t);
  for (const LoraSegment* part : product.parts) {
    fits = fits && in_whole_packs(part->a) && part->a.rows % 8 == 0;
  }
  return fits;
}

bool sums_prepare(const Context& ctx, const Tensor& left, const Tensor& right) {
  return has_outer_products_kernel(ctx, left.cols, right.cols) && in_whole_packs(left) &&
         in_whole_packs(right);
}

size_t add_outer_products_workspace_bytes(const Context& ctx, int64_t n_tokens,
                                          std::span<const Tensor> d) {
  int64_t n_left = 0;
  for (const Tensor& sum : d) n_left += sum.rows;
  const int64_t n_right = d.front().cols;
  if (n_tokens == 0 || n_left == 0 || n_right == 0) return 0;
  const size_t product = cuda::gemm_workspace_bytes(ctx, n_left, n_right, n_tokens);
  if (!has_outer_products_kernel(ctx, n_left, n_right)) return product;
  const int64_t slices =
      most_slices(n_tokens, std::max(n_left, n_right), std::min(n_left, n_right));
  // Operands that are not aligned take the other way, whatever was planned.
  return std::max(product, static_cast<size_t>(slices * n_left * n_right) * sizeof(float));
}

size_t attention_workspace_bytes(const Context& ctx, const AttentionShape& shape, int64_t n_tokens,
                                 bool backward) {
  if (!backward) return 0;
  return static_cast<size_t>(n_tokens * shape.n_heads * (1 + drop_words(ctx, shape))) *
         sizeof(float);
}

}  // namespace qe::cuda
