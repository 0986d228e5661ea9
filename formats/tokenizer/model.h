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
  size_t begin;
  size_t end;
};

class Model {
 public:
  virtual ~Model() = default;
  /// Appends the tokens of a word (valid UTF-8, not empty).
  virtual void tokenize(std::string_view word, std::vector<WordToken>& out) const = 0;
  virtual const Vocab& vocab() const = 0;
  /// The token for what the vocabulary cannot spell; "" when the model has none.
  virtual std::string_view unk_token() const = 0;
};

/// From tokenizer.json's "model". Old files have no "type": it follows from the other members.
/// Error when the type is not supported.
std::unique_ptr<Model> make_model(const Json& json);

}  // namespace qe
