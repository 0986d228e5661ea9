// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/noise.h"

#include <cmath>

#include "kernels/cpu/noise_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {

void embedding_noise(Context& ctx, const EmbeddingNoise& args) {
  const PhiloxKey key = philox_key(ctx.step->seed, RandomPurpose::kEmbeddingNoise);
  const auto kernel = QE_ISA_SELECT(noise_rows);
  run_tasks(ctx, static_cast<int64_t>(args.sample_ids.size()), [&](int64_t b, int) {
    const int64_t begin = args.cu_seqlens[b];
    const int64_t n = args.cu_seqlens[b + 1] - begin;
    const double size = static_cast<double>(n) * static_cast<double>(args.x.cols);
    kernel({.key = key,
            .sample = args.sample_ids[b],
            .epoch = ctx.step->epoch,
            .scale = static_cast<float>(static_cast<double>(args.alpha) / std::sqrt(size)),
            .x = args.x.f32() + begin * args.x.stride,
            .stride = args.x.stride,
            .rows = n,
            .cols = args.x.cols});
  });
}

}  // namespace qe::cpu
