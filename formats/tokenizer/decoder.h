// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// From tokens back to text. Decoders rewrite the list of tokens one after the other; what is left
// is joined.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json.h"

namespace qe {

class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Error when the tokens' text would become longer than max_bytes.
  virtual void apply(std::vector<std::string>& tokens, size_t max_bytes) const = 0;
  std::string decode(const std::vector<std::string_view>& tokens) const;
};

/// From tokenizer.json's "decoder" (null: tokens joined by spaces). Error on unknown types.
std::unique_ptr<Decoder> make_decoder(const Json& json);

/// Joins continuations to what is before them, puts a space before all other tokens but the first,
/// and with `cleanup` removes the spaces before punctuation, in each token by itself.
class WordPieceDecoder final : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup)
      : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  void apply(std::vector<std::string>& tokens, size_t max_bytes) const override;

 private:
  std::string prefix_;
  bool cleanup_;
};

/// Transformers' clean_up_tokenization: " ." becomes ".", " n't" becomes "n't", and so on.
std::string clean_up_tokenization(std::string text);

}  // namespace qe
