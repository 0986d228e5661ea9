// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Filling masks: each on its own, with the semantics of Hugging Face's fill-mask pipeline; with
// words of several tokens; or all masks of a text together (joint_fill.h).

#include <span>
#include <string>
#include <vector>

#include "engine/infer/session.h"
#include "engine/infer/token_scores.h"

namespace qe {

/// One candidate for one mask.
struct MaskAnswer {
  double score = 0.0;     ///< softmax probability over the whole vocabulary
  int32_t token = 0;      ///< id
  std::string token_str;  ///< decode([id])
  std::string sequence;   ///< the text with this mask filled; other masks stay
};

/// Answers per mask, in order of position; best first.
using MaskAnswers = std::vector<std::vector<MaskAnswer>>;

/// Several tokens in the place of one mask, or of one mask each.
struct TokensAnswer {
  double log_probability = 0.0;  ///< of all of them, natural
  std::vector<int32_t> tokens;   ///< ids
  std::vector<std::string> token_strs;
  std::string sequence;  ///< the text with them
};

/// Answers per mask, or one list for all masks together; best first.
using TokensAnswers = std::vector<std::vector<TokensAnswer>>;

/// A text that can be filled: FillMask::prepare made it.
struct MaskedText {
  std::vector<int32_t> ids;
  std::vector<int64_t> positions;  ///< of the masks, ascending
  std::vector<int32_t> candidates;
  int64_t top_k = 0;
  const LoraAdapter* adapter = nullptr;  ///< InferSession::append's
};

/// A token and its softmax probability over the whole vocabulary.
struct BestToken {
  int32_t id = 0;
  float probability = 0.0f;
};

class FillMask {
 public:
  /// Over a session of its own. Throws Error as InferSession does, and when the tokenizer has no
  /// mask token.
  FillMask(const InferOptions& options, const Log& log);
  /// Over a session that serves others as well: one whose Use has use(), which attach is given
  /// before anything is asked. batches: texts share forward passes.
  explicit FillMask(bool batches) : batches_(batches) {}
  InferSession::Use use();
  void attach(InferSession& session);

  /// Resolves target words to ids: exact vocabulary entries, else the first token of the word
  /// (logged). Duplicates are dropped. Throws Error when none is valid.
  std::vector<int32_t> target_ids(const std::vector<std::string>& targets) const;
  /// The same words as all their tokens: exact vocabulary entries, else what the tokenizer makes of
  /// the word alone.
  std::vector<std::vector<int32_t>> target_tokens(const std::vector<std::string>& targets) const;

  /// Asks for the best top_k answers for every mask of the text. candidates: only these ids, scores
  /// not renormalized; empty = all. Throws Error when the text has no mask token or more tokens
  /// than the model has positions, unless it may be cut.
  MaskedText prepare(const std::string& text, int64_t top_k, const std::vector<int32_t>& candidates,
                     bool truncate = false) const;
  /// The answers to each; every mask is filled independently.
  std::vector<MaskAnswers> fill(std::span<const MaskedText> texts);
  MaskAnswers fill(const std::string& text, int64_t top_k, const std::vector<int32_t>& candidates) {
    const MaskedText prepared = prepare(text, top_k, candidates);
    return std::move(fill({&prepared, 1}).front());
  }
  /// The top_k best tokens (or candidates) at each text's positions, best first, equal ones by id:
  /// what fill and fill_jointly choose from.
  std::vector<std::vector<std::vector<BestToken>>> best_tokens(std::span<const MaskedText> texts);

  /// Words of several tokens for every mask of the text, best first; top_k limits their number. A
  /// word of n tokens stands in the mask's place as n masks, which are filled from left to right:
  /// its probability is the product of p(token i | the text, tokens before i, masks for i and after
  /// it). That is the word's factor in the pseudo-log-likelihood of Kauf and Ivanova 2023 (PLL-
  /// word-l2r, arXiv:2305.10588); of a word of one token it is fill's score. Other masks stay.
  TokensAnswers fill_with(const MaskedText& text, const std::vector<std::vector<int32_t>>& words);

  /// Throws Error when the text with one of the words in it is too long for fill_with.
  void check_words(const MaskedText& text, const std::vector<std::vector<int32_t>>& words) const;

  /// A text whose `filled` ids stand where masks were. all: no mask is left.
  std::string sequence_of(std::vector<int32_t> filled, bool all) const;
  std::string token_text(int32_t id) const { return tokenizer().decode({id}, false); }

  /// Tokens of a full forward pass: what a caller should collect before it calls fill.
  int64_t batch_tokens() const { return session_->capacity().tokens; }

  int64_t vocab_size() const { return session_->config().vocab_size; }
  const Tokenizer& tokenizer() const { return session_->tokenizer(); }
  const std::vector<MemoryRow>& memory() const { return session_->memory().rows(); }
  /// Logits (V) at every mask of already tokenized input, for comparison with references.
  std::vector<std::vector<float>> logits(const std::vector<int32_t>& ids);

 private:
  // Some masks of a text, in one forward pass, and where their answers go.
  struct Part {
    const MaskedText* text;
    std::span<const int64_t> positions;
    std::vector<BestToken>* best;
  };
  void allocate(InferSession& session);
  Tensor logits_of(const MaskedLm& model, const ForwardPass& pass) const;
  std::vector<int64_t> mask_positions(const std::vector<int32_t>& ids) const;
  bool append(const std::vector<int32_t>& ids, std::span<const int64_t> positions,
              const LoraAdapter* adapter);
  Tensor run();
  void answer(std::span<const Part> parts);
  void answer(const Part& part, const Tensor& logits);

  bool batches_;
  // In the device's memory.
  float* logits_ = nullptr;        // (labels of a batch, V)
  int32_t* candidates_ = nullptr;  // (V)
  int64_t n_answers_ = 0;          // room for the next two
  int32_t* best_ids_ = nullptr;
  float* best_scores_ = nullptr;
  TokenScores scores_;
  std::unique_ptr<InferSession> own_session_;
  InferSession* session_ = nullptr;
};

}  // namespace qe
