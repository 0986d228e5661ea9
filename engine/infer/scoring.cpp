// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/scoring.h"

#include <cmath>
#include <limits>

namespace qe {
namespace {

// Tokens per sequence that a batch's memory is planned for.
constexpr int64_t kShortSequence = 6;

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
    : masking_(masking), own_session_(std::make_unique<InferSession>(options, use(), log)) {
  attach(*own_session_);
}

InferSession::Use Scorer::use() {
  return {.short_text = kShortSequence,
          .labels = [](int64_t, int64_t sequences) { return sequences; },
          .allocate = [this](InferSession& session) { scores_.allocate(session); },
          .forwards = {[this](const MaskedLm& model, const ForwardPass& pass) {
            scores_.forward(model, pass);
          }}};
}

void Scorer::attach(InferSession& session) {
  session_ = &session;
  QE_CHECK(session.tokenizer().mask_id(), session.name(), ": the tokenizer has no mask token");
}

bool Scorer::is_scored(const EncodedText& text, size_t i) const {
  return !text.special[i] && text.ids[i] != *session_->tokenizer().mask_id();
}

std::vector<int32_t> Scorer::scored_tokens(const EncodedText& text) const {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < text.ids.size(); ++i) {
    if (is_scored(text, i)) tokens.push_back(text.ids[i]);
  }
  return tokens;
}

void Scorer::ask(const EncodedText& text, int64_t begin, int64_t end, double* to) {
  const int32_t mask = *session_->tokenizer().mask_id();
  int64_t number = 0;
  for (size_t i = 0; i < text.ids.size() && number < end; ++i) {
    if (!is_scored(text, i) || number++ < begin) continue;
    masked_ = text.ids;
    masked_[i] = mask;
    const int32_t word = text.word_ids[i];
    for (size_t j = i + 1; masking_ == ScoreMasking::kWithinWordL2r && word >= 0 &&
                           j < masked_.size() && text.word_ids[j] == word;
         ++j) {
      masked_[j] = mask;
    }
    scores_.add(*session_, masked_, static_cast<int64_t>(i), text.ids[i], text.adapter, to++);
  }
}

std::vector<TextScore> Scorer::score(std::span<const EncodedText> texts) {
  std::vector<TextScore> all(texts.size());
  for (size_t t = 0; t < texts.size(); ++t) {
    TextScore& score = all[t];
    score.n_cut = texts[t].n_cut;
    score.tokens = scored_tokens(texts[t]);
    score.log_probabilities.resize(score.tokens.size());
    ask(texts[t], 0, static_cast<int64_t>(score.tokens.size()), score.log_probabilities.data());
  }
  finish();
  return all;
}

}  // namespace qe
