// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

#include "kernels/cuda/attention_args.cuh"

namespace qe::cuda {

/// Widest head of the kernels without tensor cores.
constexpr int kMaxSimtDim = 256;

/// Attention in fp32 arithmetic, elements of `dtype`.
void attention_forward_simt(Context& ctx, const AttentionArgs& args, DType dtype, int64_t n_tokens);
void attention_backward_simt(Context& ctx, const AttentionArgs& args, DType dtype,
                             int64_t n_tokens);

}  // namespace qe::cuda
