// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The tensor-core kernels as attention.cu sees them. Each function is instantiated in a file of its
// own, for __nv_bfloat16 and __half, so that they compile side by side. `dim`: 16, 32, 64, 80, 96
// or 128, at least args.head_dim; the columns between them are zeros in shared memory.

#include "kernels/cuda/attention_args.cuh"

namespace qe::cuda {

template <class T>
void attention_forward_sm80(Context& ctx, const AttentionArgs& args, int dim, int64_t n_tokens);
/// dQ and D of sequences longer than args.short_length.
template <class T>
void attention_queries_sm80(Context& ctx, const AttentionArgs& args, int dim, int64_t n_tokens);
/// dK and dV of them, after attention_queries_sm80.
template <class T>
void attention_keys_sm80(Context& ctx, const AttentionArgs& args, int dim, int64_t n_tokens);
/// All gradients of sequences up to args.short_length; dim up to 64.
template <class T>
void attention_short_sm80(Context& ctx, const AttentionArgs& args, int dim, int64_t n_tokens);

/// f(integral_constant) for the smallest of `dims` that is `dim`.
template <int... kDims, class Function>
void with_dim(int dim, const Function& f) {
  ((dim == kDims ? f(std::integral_constant<int, kDims>{}) : void()), ...);
}

}  // namespace qe::cuda
