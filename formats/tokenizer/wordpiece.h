// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// WordPiece: a word is its longest prefix in the vocabulary, then the longest continuation
// ("##..."), and so on; a word that cannot be spelled so, or is too long, is one unknown token.

#include <string>

#include "formats/tokenizer/model.h"

namespace qe {

class WordPiece final : public Model {
 public:
  struct Options {
    std::string unk_token = "[UNK]";
    std::string continuing_subword_prefix = "##";
    int64_t max_input_chars_per_word = 100;
  };
  /// From {"vocab": {token: id}, ...}.
  static WordPiece from_json(const Json& json);

  /// `where` names the vocabulary in errors. Error when the unknown token is not in it.
  WordPiece(Vocab vocab, Options options, const std::string& where);

  void tokenize(std::string_view word, std::vector<WordToken>& out) const override;
  const Vocab& vocab() const override { return vocab_; }
  std::string_view unk_token() const override { return options_.unk_token; }

 private:
  WordToken longest_match(std::string_view word, uint32_t begin) const;

  Vocab vocab_;
  Options options_;
  int32_t unk_id_;
  StringTable continuations_;  // tokens that begin with the prefix, without it
};

}  // namespace qe
