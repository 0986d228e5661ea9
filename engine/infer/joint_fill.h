// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// All masks of a text filled together: one token after the other, each given those before it. A
// masked model has no joint distribution of its own; the probability of an answer is the product of
// p(token | the text, the tokens filled before it, the masks still open), in the order in which the
// masks were filled.

#include <span>
#include <vector>

#include "engine/infer/fill_mask.h"

namespace qe {

enum class FillOrder {
  kLeftToRight,  ///< the top_k best tokens of the first mask, then the best one of each next
  kConfidence,   ///< the same, always at the open mask whose best token is the most probable
  kBeam,         ///< left to right, keeping the n_beams best of all ways so far
};

struct JointOptions {
  FillOrder order = FillOrder::kLeftToRight;
  int64_t n_beams = 0;  ///< of kBeam: at least the answers asked for; 0: as many
};

/// For each text its top_k best answers (fewer where there are not as many), best first, equally
/// probable ones by their ids. Texts are filled in rounds, a mask each, and share forward passes.
/// Throws Error when n_beams is less than a text's top_k.
std::vector<std::vector<TokensAnswer>> fill_jointly(FillMask& model,
                                                    std::span<const MaskedText> texts,
                                                    const JointOptions& options);

}  // namespace qe
