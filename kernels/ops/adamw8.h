// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// AdamW whose two moments are stored in 8 bits a value, in blocks of 256 with one scale each:
// "8-bit Optimizers via Block-wise Quantization", Dettmers et al. 2022, arXiv:2110.02861, as
// bitsandbytes' CUDA kernels do it. The update itself is fp32 and sees the moments before they are
// quantized again.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/ops/adamw.h"

namespace qe {

/// Values that share a scale. A block never spans two parameter matrices.
constexpr int64_t kAdamw8Block = 256;

/// One block: parameters [begin, begin + count), 1 <= count <= kAdamw8Block.
struct Adamw8Block {
  int64_t begin = 0;
  int64_t count = 0;
};

/// Over flat buffers. Block b has codes [256 b, 256 b + count) and scale b; what follows a short
/// block's codes is unused. All spans are in the device's memory. States begin as zero bytes.
struct Adamw8Span {
  std::span<float> parameters;          ///< (P)
  std::span<const float> gradients;     ///< (P), multiplied by clip_factor / loss_scale on reading
  std::span<const Adamw8Block> blocks;  ///< (B) disjoint
  std::span<uint8_t> exp_avg;           ///< (256 B) codes of m in the signed dynamic map
  std::span<uint8_t> exp_avg_sq;        ///< (256 B) codes of v in the unsigned one
  std::span<float> exp_avg_scale;       ///< (B) largest |m| of the block
  std::span<float> exp_avg_sq_scale;    ///< (B) largest v
  AdamwHyperparameters hyperparameters;
};

/// One update of all blocks; nothing happens when StepState::finite is 0. Element by element:
/// m, v = code value * scale; the update of adamw_step; then m / scale and v / scale of the new
/// scales, each to its nearest code (ties: the even one), except that a negative m never becomes 0.
/// Where a gradient is not finite, m = v = 0 and the parameter stays.
void adamw8_step(Context& ctx, const Adamw8Span& args);

}  // namespace qe
