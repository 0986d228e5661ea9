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
  std::vector<int32_t> tokens;            ///< Scorer::scored_tokens
  std::vector<double> log_probabilities;  ///< of each, natural
  int64_t n_cut = 0;                      ///< EncodedText's

  double sum() const;
  double per_token() const;   ///< sum / number; NaN of a text without tokens
  double perplexity() const;  ///< exp(-per_token), as of one text; infinity on overflow
};

class Scorer {
 public:
  /// Over a session of its own. Throws Error as InferSession does, and when the tokenizer has no
  /// mask token.
  Scorer(const InferOptions& options, ScoreMasking masking, const Log& log);
  /// Over a session that serves others as well: one whose Use has use(), which attach is given
  /// before anything is asked.
  explicit Scorer(ScoreMasking masking) : masking_(masking) {}
  InferSession::Use use();
  void attach(InferSession& session);

  /// Throws Error when the text is too long, unless it may be cut.
  EncodedText prepare(std::string_view text, bool truncate) const {
    return session_->encode(text, truncate);
  }
  /// Each token is a sequence of its own; they share forward passes over all texts. Memory does not
  /// depend on how many there are.
  std::vector<TextScore> score(std::span<const EncodedText> texts);

  /// The ids that are scored: all but the special tokens around the text, and masks.
  std::vector<int32_t> scored_tokens(const EncodedText& text) const;
  /// Asks for the log probabilities of the scored tokens [begin, end): they are in to[0 ...) after
  /// finish() at the latest.
  void ask(const EncodedText& text, int64_t begin, int64_t end, double* to);
  void finish() { scores_.flush(*session_); }

  const InferSession& session() const { return *session_; }

 private:
  bool is_scored(const EncodedText& text, size_t i) const;

  ScoreMasking masking_;
  std::vector<int32_t> masked_;
  TokenScores scores_;
  std::unique_ptr<InferSession> own_session_;
  InferSession* session_ = nullptr;
};

}  // namespace qe
