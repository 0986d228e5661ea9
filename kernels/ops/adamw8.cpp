// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/ops/adamw8.h"

#include "kernels/core/dispatch.h"
#include "kernels/cpu/adamw8.h"
#include "kernels/cuda/adamw8.h"

namespace qe {

void adamw8_step(Context& ctx, const Adamw8Span& args) {
  const size_t n = args.parameters.size();
  const size_t n_blocks = args.blocks.size();
  const size_t n_codes = n_blocks * kAdamw8Block;
  QE_CHECK(args.gradients.size() == n, "adamw8_step: expected ", n, " gradients, got ",
           args.gradients.size());
  QE_CHECK(args.exp_avg.size() == n_codes && args.exp_avg_sq.size() == n_codes,
           "adamw8_step: expected ", n_codes, " codes of each moment, got ", args.exp_avg.size(),
           " and ", args.exp_avg_sq.size());
  QE_CHECK(args.exp_avg_scale.size() == n_blocks && args.exp_avg_sq_scale.size() == n_blocks,
           "adamw8_step: expected ", n_blocks, " scales of each moment, got ",
           args.exp_avg_scale.size(), " and ", args.exp_avg_sq_scale.size());
  check_hyperparameters("adamw8_step", args.hyperparameters);
  QE_CHECK(ctx.step != nullptr, "adamw8_step reads Context::step, which is null");
  if (ctx.device.kind == DeviceKind::kCpu && !ctx.planning) {
    for (const Adamw8Block& block : args.blocks) {
      QE_CHECK(block.begin >= 0 && block.count >= 1 && block.count <= kAdamw8Block &&
                   block.begin + block.count <= static_cast<int64_t>(n),
               "adamw8_step: a block of ", block.count, " values at ", block.begin,
               ", expected 1 to ", kAdamw8Block, " of the ", n, " parameters");
    }
  }
  QE_DISPATCH(ctx, adamw8_step, ctx, args);
}

}  // namespace qe
