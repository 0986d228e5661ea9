// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The k best answers of each row of logits, with their softmax probabilities.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

struct TopK {
  Tensor logits;  ///< (M, V) fp32
  /// Columns to choose from; empty means all V; distinct. The softmax is always over all V.
  std::span<const int32_t> candidates;
  int64_t k = 5;                   ///< at most V, or the number of candidates
  std::span<int32_t> ids;          ///< (M * k) out, best first; equal logits: lower id first
  std::span<float> probabilities;  ///< (M * k) out
};
void topk(Context& ctx, const TopK& args);

}  // namespace qe
