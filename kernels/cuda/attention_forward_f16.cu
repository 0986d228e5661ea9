// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cuda/attention_forward.cuh"
#include "kernels/cuda/attention_sm80.cuh"

namespace qe::cuda {

template <>
void attention_forward_sm80<__half>(Context& ctx, const AttentionArgs& args, int dim,
                                    int64_t n_tokens) {
  with_dim<16, 32, 64, 80, 96, 128>(
      dim, [&](auto n) { launch_forward<__half, n.value>(ctx, args, n_tokens); });
}

}  // namespace qe::cuda
