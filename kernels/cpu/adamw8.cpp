// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "kernels/cpu/adamw8.h"

#include "kernels/cpu/adamw.h"
#include "kernels/cpu/adamw8_kernel.h"
#include "kernels/cpu/row_loop.h"

namespace qe::cpu {

void adamw8_step(Context& ctx, const Adamw8Span& args) {
  if (ctx.step->finite == 0) return;
  const AdamwConstants constants = adamw_constants(args.hyperparameters, *ctx.step);
  const auto kernel = QE_ISA_SELECT(adamw8_block);
  for_row_ranges(ctx, static_cast<int64_t>(args.blocks.size()), kAdamw8Block,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t b = begin; b < end; ++b) {
                     const Adamw8Block& block = args.blocks[b];
                     kernel(Adamw8Elements{.p = args.parameters.data() + block.begin,
                                           .g = args.gradients.data() + block.begin,
                                           .m = args.exp_avg.data() + b * kAdamw8Block,
                                           .v = args.exp_avg_sq.data() + b * kAdamw8Block,
                                           .m_scale = &args.exp_avg_scale[b],
                                           .v_scale = &args.exp_avg_sq_scale[b],
                                           .count = block.count,
                                           .constants = constants});
                   }
                 });
}

}  // namespace qe::cpu
