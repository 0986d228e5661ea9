// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/ops/attention.h"

namespace qe::cuda {

size_t attention_workspace_bytes(const Context& ctx, const AttentionShape& shape, int64_t n_tokens,
                                 bool backward);

/// workspace: attention_workspace_bytes(ctx, shape, n_tokens, false) bytes.
void attention_forward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                       const Tensor& out, const Tensor& lse, void* workspace);
/// workspace: attention_workspace_bytes(ctx, shape, n_tokens, true) bytes.
void attention_backward(Context& ctx, const AttentionShape& shape, const Tensor& qkv,
                        const Tensor& out, const Tensor& lse, const Tensor& d_out,
                        const Tensor& d_qkv, const AttentionTermGradients& d_terms,
                        void* workspace);

}  // namespace qe::cuda
