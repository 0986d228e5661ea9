// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cuda/attention_backward.cuh"
#include "kernels/cuda/attention_sm80.cuh"

namespace qe::cuda {

template <>
void attention_queries_sm80<__nv_bfloat16>(Context& ctx, const AttentionArgs& args, int dim,
                                           int64_t n_tokens) {
  with_dim<16, 32, 64, 80, 96, 128>(dim, [&](auto n) {
    launch_backward<__nv_bfloat16, n.value, AttentionPass::kQueries>(ctx, args, n_tokens);
  });
}

}  // namespace qe::cuda
