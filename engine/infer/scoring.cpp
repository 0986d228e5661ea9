// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/scoring.h"

#include <cmath>
#include <limits>

namespace qe {
namespace {

// Tokens per sequence that a batch's memory is planned for.
constexpr int64_t kShortSequence = 6;

InferSession::Use scoring(TokenScores& scores) {
  return {.short_text = kShortSequence,
          .labels = [](int64_t, int64_t sequences) { return sequences; },
          .allocate = [&scores](InferSession& s) { scores.allocate(s); },
          .forwards = {[&scores](const MaskedLm& model, const ForwardPass& pass) {
            scores.forward(model, pass);
          }}};
}

}  // namespace

double TextScore::sum() const {
  double sum = 0.0;
  for (const double value : log_probabilities) sum += value;
  return sum;
}

double TextScore::per_token() const {
  if (log_probabilities.empty()) return std::numeric_limits<double>::quiet_NaN();
  return sum() / static_cast<double>(log_probabilities.size());
}

double TextScore::perplexity() const { return std::exp(-per_token()); }

Scorer::Scorer(const InferOptions& options, ScoreMasking masking, const Log& log)
    : masking_(masking), session_(options, scoring(scores_), log) {
  QE_CHECK(session_.tokenizer().mask_id(), options.model, ": the tokenizer has no mask token");
}

std::vector<TextScore> Scorer::score(std::span<const EncodedText> texts) {
  const int32_t mask = *session_.tokenizer().mask_id();
  std::vector<TextScore> all(texts.size());
  std::vector<int32_t> masked;
  for (size_t t = 0; t < texts.size(); ++t) {
    const EncodedText& text = texts[t];
    TextScore& score = all[t];
    score.n_cut = text.n_cut;
    for (size_t i = 0; i < text.ids.size(); ++i) {
      if (!text.special[i] && text.ids[i] != mask) score.tokens.push_back(text.ids[i]);
    }
    score.log_probabilities.resize(score.tokens.size());
    double* to = score.log_probabilities.data();
    for (size_t i = 0; i < text.ids.size(); ++i) {
      if (text.special[i] || text.ids[i] == mask) continue;
      masked = text.ids;
      masked[i] = mask;
      const int32_t word = text.word_ids[i];
      for (size_t j = i + 1; masking_ == ScoreMasking::kWithinWordL2r && word >= 0 &&
                             j < masked.size() && text.word_ids[j] == word;
           ++j) {
        masked[j] = mask;
      }
      scores_.add(session_, masked, static_cast<int64_t>(i), text.ids[i], to++);
    }
  }
  scores_.flush(session_);
  return all;
}

}  // namespace qe
