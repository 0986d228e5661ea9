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

/// From tokenizer.json's "pre_tokenizer" (null: none, a null pointer). Error when the type is not
/// supported.
std::unique_ptr<PreTokenizer> make_pretokenizer(const Json& json);

/// BERT: white space separates words and is dropped, each punctuation character stands alone.
class BertPreTokenizer final : public PreTokenizer {
 public:
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override;
};

}  // namespace qe
