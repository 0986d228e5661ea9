// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Pseudo-log-likelihoods of texts: Salazar, Liang, Nguyen, Kirchhoff 2020, "Masked Language Model
// Scoring" (arXiv:1910.14659).

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/infer/session.h"
#include "engine/infer/token_scores.h"

namespace qe {

/// What is masked while a token is scored.
enum class ScoreMasking {
  kToken,          ///< the token itself: Salazar et al.
  kWithinWordL2r,  ///< and the later tokens of its word: Kauf and Ivanova 2023, "A Better Way to Do
                   ///< Masked Language Model Scoring" (arXiv:2305.10588)
};

struct TextScore {
  std::vector<int32_t> tokens;  ///< scored: all but the special tokens around the text, and masks
  std::vector<double> log_probabilities;  ///< of each, natural
  int64_t n_cut = 0;                      ///< EncodedText's

  double sum() const;
  double per_token() const;   ///< sum / number; NaN of a text without tokens
  double perplexity() const;  ///< exp(-per_token), as of one text; infinity on overflow
};

class Scorer {
 public:
  /// Throws Error as InferSession does, and when the tokenizer has no mask token.
  Scorer(const InferOptions& options, ScoreMasking masking, const Log& log);

  /// Throws Error when the text is too long, unless it may be cut.
  EncodedText prepare(std::string_view text, bool truncate) const {
    return session_.encode(text, truncate);
  }
  /// Each token is a sequence of its own; they share forward passes over all texts. Memory does not
  /// depend on how many there are.
  std::vector<TextScore> score(std::span<const EncodedText> texts);

  const InferSession& session() const { return session_; }

 private:
  ScoreMasking masking_;
  TokenScores scores_;
  InferSession session_;
};

}  // namespace qe
