// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// A token for every word of the vocabulary; all others are unknown.

#include <optional>
#include <string>

#include "formats/tokenizer/model.h"

namespace qe {

class WordLevel final : public Model {
 public:
  static WordLevel from_json(const Json& json);
  WordLevel(Vocab vocab, std::string unk_token);

  /// Error for an unknown word when the vocabulary lacks the unknown token.
  void tokenize(std::string_view word, std::vector<WordToken>& out) const override;
  const Vocab& vocab() const override { return vocab_; }
  std::string_view unk_token() const override { return unk_token_; }

 private:
  Vocab vocab_;
  std::string unk_token_;
  std::optional<int32_t> unk_id_;
};

}  // namespace qe
