// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The second stage of a tokenizer: cutting normalized text into words, inside which the model
// works.

#include <memory>
#include <vector>

#include "formats/json.h"
#include "formats/tokenizer/normalized_text.h"

namespace qe {

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Replaces `words` (ranges of text.text, in order) by finer ones; what is left out of every
  /// range is dropped. May rewrite the text, keeping its spans.
  virtual void split(NormalizedText& text, std::vector<ByteRange>& words) const = 0;
};

/// Pre-tokenizers one after the other, each in the words of the one before.
class PreTokenizerSequence final : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> parts)
      : parts_(std::move(parts)) {}
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override {
    for (const auto& part : parts_) {
      part->split(text, words);
      text.check_size(text.text.size());
    }
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

/// From tokenizer.json's "pre_tokenizer" (null: none, a null pointer). Error on unknown types.
std::unique_ptr<PreTokenizer> make_pretokenizer(const Json& json);

/// BERT: white space separates words and is dropped, each punctuation character stands alone.
class BertPreTokenizer final : public PreTokenizer {
 public:
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override;
};

}  // namespace qe
