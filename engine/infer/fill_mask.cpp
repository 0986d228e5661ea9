// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "engine/infer/fill_mask.h"

#include <algorithm>

#include "kernels/ops/topk.h"
#include "kernels/ops/transfer.h"

namespace qe {
namespace {

// Masks whose logits are held at once; a text with more runs again for the next ones.
constexpr int64_t kMasksAtOnce = 8;
// The same for batches.
constexpr int64_t kMasksPerBatch = 64;
// Answers per mask that leave room for all masks of a batch at once.
constexpr int64_t kUsualTopK = 16;

}  // namespace

FillMask::FillMask(const InferOptions& options, const Log& log)
    : batches_(options.batch_tokens > 0),
      own_session_(std::make_unique<InferSession>(options, use(), log)) {
  attach(*own_session_);
}

void FillMask::attach(InferSession& session) {
  session_ = &session;
  QE_CHECK(tokenizer().mask_id(), session.name(), ": the tokenizer has no mask token");
}

InferSession::Use FillMask::use() {
  return {.labels = [this](int64_t, int64_t) { return batches_ ? kMasksPerBatch : kMasksAtOnce; },
          .allocate = [this](InferSession& session) { allocate(session); },
          .forwards = {[this](const MaskedLm& model, const ForwardPass& pass) {
                         masked_lm_logits(model, pass, logits_of(model, pass));
                       },
                       [this](const MaskedLm& model, const ForwardPass& pass) {
                         scores_.forward(model, pass);
                       }}};
}

void FillMask::allocate(InferSession& session) {
  Memory& memory = session.memory();
  const int64_t n_labels = session.capacity().labels;
  const int64_t vocab = session.config().vocab_size;
  logits_ = memory.allocate_array<float>("logits", n_labels * vocab);
  candidates_ = memory.allocate_array<int32_t>("answers", vocab);
  n_answers_ = std::max(vocab, n_labels * kUsualTopK);
  best_ids_ = memory.allocate_array<int32_t>("answers", n_answers_);
  best_scores_ = memory.allocate_array<float>("answers", n_answers_);
  scores_.allocate(session);
}

// Room for logits (masks, V) of a batch.
Tensor FillMask::logits_of(const MaskedLm& model, const ForwardPass& pass) const {
  return make_tensor(logits_, pass.batch.n_labels(), model.config.vocab_size, DType::kF32,
                     pass.tape->context().device);
}

std::vector<int32_t> FillMask::target_ids(const std::vector<std::string>& targets) const {
  std::vector<int32_t> ids;
  for (const std::string& target : targets) {
    std::optional<int32_t> id = tokenizer().token_id(target);
    if (!id) {
      const Encoding pieces = tokenizer().encode(target, {.add_special_tokens = false});
      if (pieces.ids.empty()) {
        session_->log().warn(cat("target \"", target, "\" has no token; ignored"));
        continue;
      }
      id = pieces.ids.front();
      session_->log().warn(cat("target \"", target, "\" is not in the vocabulary; using \"",
                               tokenizer().token(*id), "\""));
    }
    session_->check_id(*id);
    if (std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  }
  QE_CHECK(!ids.empty(), "targets: none of them is a token of this model");
  return ids;
}

std::vector<std::vector<int32_t>> FillMask::target_tokens(
    const std::vector<std::string>& targets) const {
  std::vector<std::vector<int32_t>> words;
  for (const std::string& target : targets) {
    std::vector<int32_t> ids;
    if (const std::optional<int32_t> id = tokenizer().token_id(target)) {
      ids = {*id};
    } else {
      ids = tokenizer().encode(target, {.add_special_tokens = false}).ids;
    }
    for (const int32_t id : ids) session_->check_id(id);
    if (ids.empty()) {
      session_->log().warn(cat("target \"", target, "\" has no token; ignored"));
    } else if (std::find(words.begin(), words.end(), ids) == words.end()) {
      words.push_back(std::move(ids));
    }
  }
  QE_CHECK(!words.empty(), "targets: none of them has a token of this model");
  return words;
}

std::vector<int64_t> FillMask::mask_positions(const std::vector<int32_t>& ids) const {
  std::vector<int64_t> positions;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == *tokenizer().mask_id()) positions.push_back(static_cast<int64_t>(i));
  }
  return positions;
}

// Adds masks of a text to the batch; false when they do not fit beside what is there.
bool FillMask::append(const std::vector<int32_t>& ids, std::span<const int64_t> positions,
                      const LoraAdapter* adapter) {
  std::vector<int32_t> labels(ids.size(), kNoLabel);
  for (const int64_t position : positions) labels[position] = 0;
  return session_->append(ids, labels, adapter);
}

// Logits (masks, V) of the batch, which is empty afterwards.
Tensor FillMask::run() {
  Tensor logits;
  session_->run([&](const MaskedLm& model, const ForwardPass& pass) {
    logits = logits_of(model, pass);
    masked_lm_logits(model, pass, logits);
  });
  return logits;
}

std::vector<std::vector<float>> FillMask::logits(const std::vector<int32_t>& ids) {
  std::vector<std::vector<float>> all;
  for (const int64_t position : mask_positions(ids)) {
    append(ids, {&position, 1}, nullptr);
    const Tensor row = run();
    all.emplace_back(row.cols);
    copy_bytes(session_->context(), all.back().data(), row.data, all.back().size() * sizeof(float));
    synchronize(session_->context());
  }
  return all;
}

MaskedText FillMask::prepare(const std::string& text, int64_t top_k,
                             const std::vector<int32_t>& candidates, bool truncate) const {
  QE_CHECK(top_k > 0, "top_k: expected a positive number, got ", top_k);
  EncodedText encoded = session_->encode(text, truncate);
  MaskedText out{.positions = mask_positions(encoded.ids), .candidates = candidates};
  QE_CHECK(!out.positions.empty(), "No mask_token (", tokenizer().mask_token(),
           ") found on the input: \"", text.substr(0, 200), "\"");
  const int64_t n_choices =
      candidates.empty() ? session_->config().vocab_size : static_cast<int64_t>(candidates.size());
  out.top_k = std::min(top_k, n_choices);
  out.ids = std::move(encoded.ids);
  return out;
}

std::string FillMask::sequence_of(std::vector<int32_t> filled, bool all) const {
  if (tokenizer().pad_id()) std::erase(filled, *tokenizer().pad_id());
  return tokenizer().decode(filled, all);
}

std::vector<MaskAnswers> FillMask::fill(std::span<const MaskedText> texts) {
  const auto best = best_tokens(texts);
  std::vector<MaskAnswers> answers(texts.size());
  for (size_t t = 0; t < texts.size(); ++t) {
    const MaskedText& text = texts[t];
    for (size_t m = 0; m < text.positions.size(); ++m) {
      std::vector<MaskAnswer>& of_mask = answers[t].emplace_back();
      for (const BestToken& token : best[t][m]) {
        std::vector<int32_t> filled = text.ids;
        filled[text.positions[m]] = token.id;
        of_mask.push_back({token.probability, token.id, token_text(token.id),
                           sequence_of(std::move(filled), text.positions.size() == 1)});
      }
    }
  }
  return answers;
}

std::vector<std::vector<std::vector<BestToken>>> FillMask::best_tokens(
    std::span<const MaskedText> texts) {
  std::vector<std::vector<std::vector<BestToken>>> best(texts.size());
  std::vector<Part> parts;
  const size_t n_at_once = static_cast<size_t>(session_->capacity().labels);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::span<const int64_t> positions = texts[i].positions;
    best[i].resize(positions.size());
    for (size_t begin = 0; begin < positions.size(); begin += n_at_once) {
      const auto some = positions.subspan(begin, std::min(n_at_once, positions.size() - begin));
      if (!append(texts[i].ids, some, texts[i].adapter)) {
        answer(parts);
        parts.clear();
        append(texts[i].ids, some, texts[i].adapter);
      }
      parts.push_back({&texts[i], some, best[i].data() + begin});
    }
  }
  if (!parts.empty()) answer(parts);
  return best;
}

// Runs the batch that these parts make up.
void FillMask::answer(std::span<const Part> parts) {
  const Tensor logits = run();
  int64_t row = 0;
  for (const Part& part : parts) {
    const int64_t n = static_cast<int64_t>(part.positions.size());
    answer(part, logits.row_range(row, n));
    row += n;
  }
}

void FillMask::answer(const Part& part, const Tensor& logits) {
  Context& ctx = session_->context();
  const MaskedText& text = *part.text;
  const size_t k = static_cast<size_t>(text.top_k);
  std::vector<int32_t> ids(part.positions.size() * k);
  std::vector<float> scores(ids.size());
  const std::span<int32_t> candidates(candidates_, text.candidates.size());
  copy_bytes(ctx, candidates.data(), text.candidates.data(), candidates.size_bytes());
  const int64_t at_once = n_answers_ / text.top_k;
  for (int64_t begin = 0; begin < logits.rows; begin += at_once) {
    const int64_t n = std::min(at_once, logits.rows - begin);
    const size_t n_best = static_cast<size_t>(n) * k;
    topk(ctx, TopK{.logits = logits.row_range(begin, n),
                   .candidates = candidates,
                   .k = text.top_k,
                   .ids = {best_ids_, n_best},
                   .probabilities = {best_scores_, n_best}});
    const size_t at = static_cast<size_t>(begin) * k;
    copy_bytes(ctx, ids.data() + at, best_ids_, n_best * sizeof(int32_t));
    copy_bytes(ctx, scores.data() + at, best_scores_, n_best * sizeof(float));
  }
  synchronize(ctx);
  for (size_t i = 0; i < ids.size(); ++i) part.best[i / k].push_back({ids[i], scores[i]});
}

void FillMask::check_words(const MaskedText& text,
                           const std::vector<std::vector<int32_t>>& words) const {
  const int64_t longest = session_->config().max_length();
  for (const std::vector<int32_t>& word : words) {
    const size_t n_tokens = text.ids.size() + word.size() - 1;
    QE_CHECK(static_cast<int64_t>(n_tokens) <= longest, "the text has ", n_tokens,
             " tokens with a word of ", word.size(), "; the model has positions for ", longest);
  }
}

TokensAnswers FillMask::fill_with(const MaskedText& text,
                                  const std::vector<std::vector<int32_t>>& words) {
  const int32_t mask = *tokenizer().mask_id();
  check_words(text, words);
  struct Scored {
    TokensAnswer answer;
    std::vector<double> factors;  // log p of each token
  };
  std::vector<std::vector<Scored>> scored(text.positions.size(), std::vector<Scored>(words.size()));
  for (size_t m = 0; m < text.positions.size(); ++m) {
    const int64_t at = text.positions[m];
    for (size_t w = 0; w < words.size(); ++w) {
      const std::vector<int32_t>& word = words[w];
      std::vector<int32_t> ids = text.ids;
      ids.insert(ids.begin() + at + 1, word.size() - 1, mask);
      scored[m][w].factors.resize(word.size());
      for (size_t i = 0; i < word.size(); ++i) {
        const int64_t position = at + static_cast<int64_t>(i);
        scores_.add(*session_, ids, position, word[i], text.adapter, &scored[m][w].factors[i]);
        ids[position] = word[i];
      }
      scored[m][w].answer.tokens = word;
      scored[m][w].answer.sequence = sequence_of(std::move(ids), text.positions.size() == 1);
    }
  }
  scores_.flush(*session_);
  TokensAnswers answers(scored.size());
  for (size_t m = 0; m < scored.size(); ++m) {
    for (Scored& one : scored[m]) {
      for (const double factor : one.factors) one.answer.log_probability += factor;
      for (const int32_t id : one.answer.tokens) one.answer.token_strs.push_back(token_text(id));
      answers[m].push_back(std::move(one.answer));
    }
    std::stable_sort(
        answers[m].begin(), answers[m].end(), [](const TokensAnswer& a, const TokensAnswer& b) {
          return a.log_probability != b.log_probability ? a.log_probability > b.log_probability
                                                        : a.tokens < b.tokens;
        });
    const auto n = static_cast<size_t>(text.top_k);
    if (answers[m].size() > n) answers[m].resize(n);
  }
  return answers;
}

}  // namespace qe
