// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Dropout with coordinates: the keep decision of an element is a pure function of the seed, the
// epoch and the element's place in its sample (kernels/core/philox.h), so backward recomputes it.
// "Improving neural networks by preventing co-adaptation", Hinton et al. 2012, inverted form.

#include <span>

#include "kernels/core/context.h"
#include "kernels/core/philox.h"
#include "kernels/core/tensor.h"

namespace qe {

/// Which dropout this is and which sample each row belongs to. p == 0 means none: nothing else is
/// read then. Seed and epoch come from Context::step.
struct Dropout {
  float p = 0.0f;
  RandomPurpose purpose = RandomPurpose::kHiddenDropout;
  uint32_t layer = 0;                     ///< kEmbeddingLayer for the embeddings
  uint32_t site = 0;                      ///< which dropout of the layer (the head, in attention)
  std::span<const uint32_t> row_samples;  ///< (T) global sample index of each row
  std::span<const uint32_t> row_indices;  ///< (T) position of each row inside its sample

  static constexpr uint32_t kEmbeddingLayer = 0xffff;
};

/// y = dropout(x) = keep ? x / (1 - p) : 0, or with a residual y = residual + dropout(x). residual,
/// x, y: (T, C) of the compute type; y may be the memory of x or of the residual. The keep
/// decision of column c of row t is word c % 4 of philox(philox_counter(sample, epoch, layer, site,
/// row, c / 4)), dropped when below probability_threshold(p). Backward is the same function applied
/// to gradients.
void dropout(Context& ctx, const Dropout& spec, const Tensor& x, const Tensor& y,
             const Tensor& residual = {});

}  // namespace qe
