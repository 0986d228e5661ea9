// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/joint_fill.h"

#include <algorithm>
#include <limits>

#include "engine/model/portable_math.h"

namespace qe {
namespace {

// One way to fill a text, so far.
struct Filling {
  std::vector<int32_t> ids;
  std::vector<int64_t> open;  // masks left, ascending
  double log_probability = 0.0;
};

bool better(const Filling& a, const Filling& b) {
  return a.log_probability != b.log_probability ? a.log_probability > b.log_probability
                                                : a.ids < b.ids;
}

// A probability that fp32 cannot hold counts as the smallest one that it can.
double log_of(float probability) {
  return portable_log(
      static_cast<double>(std::max(probability, std::numeric_limits<float>::denorm_min())));
}

int64_t choices_of(const MaskedText& text, const JointOptions& options, bool first) {
  if (options.order == FillOrder::kBeam) {
    const int64_t n_beams = options.n_beams > 0 ? options.n_beams : text.top_k;
    QE_CHECK(n_beams >= text.top_k, "beams: expected at least top_k (", text.top_k, "), got ",
             n_beams);
    return n_beams;
  }
  return first ? text.top_k : 1;
}

// What a filling asks the model: the masks that may be next, with the choices for each.
MaskedText question(const MaskedText& text, const Filling& filling, FillOrder order,
                    int64_t n_choices, int64_t vocab) {
  MaskedText ask{.ids = filling.ids, .positions = filling.open, .candidates = text.candidates};
  if (order != FillOrder::kConfidence) ask.positions.resize(1);
  const int64_t n_all =
      text.candidates.empty() ? vocab : static_cast<int64_t>(text.candidates.size());
  ask.top_k = std::min(n_choices, n_all);
  return ask;
}

// The fillings that go on from one, with each of the best tokens at its most certain mask.
void extend(const Filling& filling, const MaskedText& asked,
            const std::vector<std::vector<BestToken>>& best, std::vector<Filling>& out) {
  size_t at = 0;
  for (size_t m = 1; m < best.size(); ++m) {
    if (best[m][0].probability > best[at][0].probability) at = m;
  }
  for (const BestToken& token : best[at]) {
    Filling next = filling;
    next.ids[asked.positions[at]] = token.id;
    std::erase(next.open, asked.positions[at]);
    next.log_probability += log_of(token.probability);
    out.push_back(std::move(next));
  }
}

TokensAnswer answer_of(const FillMask& model, const MaskedText& text, Filling&& filling) {
  TokensAnswer answer{.log_probability = filling.log_probability};
  for (const int64_t position : text.positions) {
    answer.tokens.push_back(filling.ids[position]);
    answer.token_strs.push_back(model.token_text(answer.tokens.back()));
  }
  answer.sequence = model.sequence_of(std::move(filling.ids), true);
  return answer;
}

// One mask more of every filling of every text; false when none has a mask left.
bool fill_next(FillMask& model, std::span<const MaskedText> texts, const JointOptions& options,
               bool first, std::vector<std::vector<Filling>>& fillings) {
  std::vector<MaskedText> questions;
  for (size_t t = 0; t < texts.size(); ++t) {
    if (fillings[t].front().open.empty()) continue;
    const int64_t n_choices = choices_of(texts[t], options, first);
    for (const Filling& filling : fillings[t]) {
      questions.push_back(
          question(texts[t], filling, options.order, n_choices, model.vocab_size()));
    }
  }
  if (questions.empty()) return false;
  const auto best = model.best_tokens(questions);
  size_t next = 0;
  for (size_t t = 0; t < texts.size(); ++t) {
    if (fillings[t].front().open.empty()) continue;
    std::vector<Filling> extended;
    for (const Filling& filling : fillings[t]) {
      extend(filling, questions[next], best[next], extended);
      ++next;
    }
    std::sort(extended.begin(), extended.end(), better);
    const auto n_kept =
        static_cast<size_t>(std::max(texts[t].top_k, choices_of(texts[t], options, first)));
    if (extended.size() > n_kept) extended.resize(n_kept);
    fillings[t] = std::move(extended);
  }
  return true;
}

}  // namespace

std::vector<std::vector<TokensAnswer>> fill_jointly(FillMask& model,
                                                    std::span<const MaskedText> texts,
                                                    const JointOptions& options) {
  std::vector<std::vector<Filling>> fillings;
  for (const MaskedText& text : texts) fillings.push_back({{text.ids, text.positions, 0.0}});
  for (bool first = true; fill_next(model, texts, options, first, fillings);) first = false;
  std::vector<std::vector<TokensAnswer>> answers(texts.size());
  for (size_t t = 0; t < texts.size(); ++t) {
    const auto n = std::min(fillings[t].size(), static_cast<size_t>(texts[t].top_k));
    for (size_t i = 0; i < n; ++i) {
      answers[t].push_back(answer_of(model, texts[t], std::move(fillings[t][i])));
    }
  }
  return answers;
}

}  // namespace qe
