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

namespace qe {

struct Encoding;

/// The tokens of one text before post-processing; one entry per token each.
struct TokenSequence {
  std::vector<int32_t> ids;
  std::vector<Span> offsets;
  std::vector<int32_t> word_ids;

  size_t size() const { return ids.size(); }
  void truncate(size_t n);
};

class PostProcessor {
 public:
  struct Item {
    enum class Kind { kFirst, kSecond, kSpecial } kind;
    std::vector<int32_t> ids;  ///< of kSpecial
    int32_t type_id;
  };
  /// Without special tokens: the text with type 0, the second one with type 1.
  PostProcessor();
  PostProcessor(std::vector<Item> single, std::vector<Item> pair);

  /// From tokenizer.json's "post_processor" (null: no special tokens): TemplateProcessing,
  /// BertProcessing or RobertaProcessing. `is_token` says whether an id exists. Error on
  /// unsupported types and on ids that do not.
  static PostProcessor from_json(const Json& json, const std::function<bool(int32_t)>& is_token);
  /// [CLS] A [SEP], [CLS] A [SEP] B [SEP], type 1 from B on.
  static PostProcessor bert(int32_t cls, int32_t sep);
  /// <s> A </s>, <s> A </s></s> B </s>, all of type 0.
  static PostProcessor roberta(int32_t cls, int32_t sep, bool trim_offsets, bool add_prefix_space);

  /// Special tokens added around one text / a pair.
  int64_t n_added(bool pair) const;
  /// A token's span without the white space at the ends of its normalized text `value`, if the
  /// processor is one that trims. `is_first`: the text's first token.
  Span trimmed(Span span, std::string_view value, bool is_first) const;
  /// `second`: null pointer for a single text.
  Encoding process(const TokenSequence& first, const TokenSequence* second,
                   bool add_special_tokens) const;

 private:
  std::vector<Item> single_, pair_;
  bool trim_offsets_ = false;
  bool add_prefix_space_ = false;  // one space before the first token is not trimmed: it was added
};

/// Cuts a text or pair to max_length tokens in all, keeping the beginnings. Of a pair the longer
/// text is cut first; both are cut to halves when both are longer than that.
void truncate_longest_first(TokenSequence& first, TokenSequence* second, int64_t max_length);

}  // namespace qe
