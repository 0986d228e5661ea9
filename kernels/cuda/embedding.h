// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/embedding.h"

namespace qe::cuda {

void embedding_forward(Context& ctx, const EmbeddingForward& args);
/// scratch: embedding_backward_workspace_bytes.
void embedding_backward(Context& ctx, const EmbeddingBackward& args, void* scratch);
size_t embedding_backward_workspace_bytes(int64_t n_tokens, int64_t cols);
void gather_rows(Context& ctx, const Tensor& x, std::span<const int32_t> rows, const Tensor& y);
void scatter_rows(Context& ctx, const Tensor& dy, std::span<const int32_t> rows, const Tensor& dx,
                  GradientMode mode);

}  // namespace qe::cuda
