// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Sentencepiece's unigram model: of all ways to spell a word with pieces, the one with the highest
// sum of scores. A character that is no piece costs 10 more than the worst piece; neighbouring
// unknown characters become one token.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "formats/tokenizer/byte_trie.h"
#include "formats/tokenizer/model.h"

namespace qe {

class Unigram final : public Model {
 public:
  using Pieces = std::vector<std::pair<std::string, double>>;  ///< with scores, by id

  static Unigram from_json(const Json& json);
  /// `where` names the vocabulary in errors. Of equal pieces the last one counts.
  Unigram(const Pieces& pieces, std::optional<int32_t> unk_id, bool byte_fallback,
          const std::string& where);

  void tokenize(std::string_view word, std::vector<WordToken>& out) const override;
  const Vocab& vocab() const override { return vocab_; }
  std::string_view unk_token() const override;
  bool tokens_are_text() const override { return true; }

 private:
  struct Node {
    double score;
    int32_t begin;  // of the last piece; -1: not reached
    int32_t id;
  };
  void find_best(std::string_view word, std::vector<Node>& nodes) const;
  void push_unknown(std::string_view text, uint32_t begin, std::vector<WordToken>& out) const;

  Vocab vocab_;
  std::vector<double> scores_;  // by id
  ByteTrie trie_;
  std::optional<int32_t> unk_id_;
  double unk_score_;
  std::vector<int32_t> byte_ids_;  // empty: no fallback to bytes
};

}  // namespace qe
