// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Noise on input embeddings: NEFTune (Jain et al. 2023, arXiv:2310.05914). As everything random, a
// pure function of the seed, the epoch and the element's place in its sample.

#include <cstdint>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/tensor.h"

namespace qe {

struct EmbeddingNoise {
  float alpha = 0.0f;
  std::span<const int32_t> cu_seqlens;   ///< (B + 1)
  std::span<const uint32_t> sample_ids;  ///< (B)
  Tensor x;                              ///< (T, C), in place
};

/// x += alpha / sqrt(n C) u for every sequence of n tokens, u uniform in [-1, 1). (transformers
/// takes the padded length of the batch for n.) u of column c of the sequence's row r is 2 w - 1, w
/// the 24-bit fraction of word c % 4 of philox(kEmbeddingNoise; sample, epoch, 0, 0, r, c / 4).
void embedding_noise(Context& ctx, const EmbeddingNoise& args);

}  // namespace qe
