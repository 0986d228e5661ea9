// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// The third stage of a tokenizer: words to token ids.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "formats/json.h"
#include "formats/tokenizer/vocab.h"

namespace qe {

/// A token of a word: bytes [begin, end) of it.
struct WordToken {
  int32_t id;
  uint32_t begin;
  uint32_t end;
};

class Model {
 public:
  virtual ~Model() = default;
  /// Appends the tokens of a word (valid UTF-8, not empty).
  virtual void tokenize(std::string_view word, std::vector<WordToken>& out) const = 0;
  virtual const Vocab& vocab() const = 0;
  /// The token for what the vocabulary cannot spell; "" when the model has none.
  virtual std::string_view unk_token() const = 0;
  /// Whether an unknown token stands for its text where the white space of tokens matters
  /// (trim_offsets), and not for the name of the unknown token.
  virtual bool tokens_are_text() const { return false; }
};

/// From tokenizer.json's "model". Old files have no "type": it follows from the other members.
/// Error on unknown types.
std::unique_ptr<Model> make_model(const Json& json);

}  // namespace qe
