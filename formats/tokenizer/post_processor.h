// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The last stage of encoding: special tokens around one text or a pair, and type ids. Every
// processor is a template: a list of special tokens and places for the texts.

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "formats/tokenizer/normalized_text.h"
#include "formats/tokenizer/truncation.h"

namespace qe {

struct Encoding;

/// White space characters at the ends of a token.
struct Blanks {
  int32_t leading = 0;
  int32_t trailing = 0;
};
/// Of a token as it is written in the vocabulary, where U+0120 is a space too.
Blanks blanks_of(std::string_view token);

/// The tokens of one text before post-processing; one entry per token each.
struct TokenSequence {
  std::vector<int32_t> ids;
  std::vector<Span> offsets;
  std::vector<int32_t> word_ids;
  std::vector<Blanks> blanks;  ///< empty where the post-processor trims no offsets

  size_t size() const { return ids.size(); }
  void clear();
  /// Keeps tokens [begin, end).
  void keep(size_t begin, size_t end);
};

class PostProcessor {
 public:
  using IsToken = std::function<bool(int32_t)>;
  struct Item {
    enum class Kind { kFirst, kSecond, kSpecial } kind;
    std::vector<int32_t> ids;  ///< of kSpecial
    int32_t type_id;
  };
  /// Without special tokens: the text with type 0, the second one with type 1.
  PostProcessor();
  PostProcessor(std::vector<Item> single, std::vector<Item> pair);

  /// From tokenizer.json's "post_processor" (null: no special tokens). `is_token` says whether an
  /// id exists. Error on unknown types, on ids that do not exist, and on a sequence in which
  /// several processors add special tokens.
  static PostProcessor from_json(const Json& json, const IsToken& is_token);
  /// [CLS] A [SEP], [CLS] A [SEP] B [SEP], type 1 from B on.
  static PostProcessor bert(int32_t cls, int32_t sep);
  /// <s> A </s>, <s> A </s></s> B </s>, all of type 0.
  static PostProcessor roberta(int32_t cls, int32_t sep, bool trim_offsets, bool add_prefix_space);

  /// Special tokens added around one text / a pair.
  int64_t n_added(bool pair) const;
  /// Whether offsets lose the white space at the ends of tokens; `process` then needs `blanks`.
  bool trims() const { return !trims_.empty(); }
  /// Fills `out`, which keeps its memory. `second`: null pointer for a single text.
  void process(TokenSequence& first, TokenSequence* second, bool add_special_tokens,
               Encoding& out) const;

 private:
  struct Trim {
    bool add_prefix_space;  // one space before the first token stays: it was added
  };
  void add(const Json& json, const IsToken& is_token);
  void trim(TokenSequence& tokens) const;

  std::vector<Item> single_, pair_;
  std::vector<Trim> trims_;
  bool adds_tokens_ = false;
};

/// Cuts a text or pair to max_length tokens in all. Error when only one text may be cut and that
/// would leave nothing of it.
void truncate(TokenSequence& first, TokenSequence* second, int64_t max_length,
              TruncationStrategy strategy, TruncationSide side);

}  // namespace qe
