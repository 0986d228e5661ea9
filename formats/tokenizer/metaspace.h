// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Sentencepiece's spaces as characters: ' ' becomes U+2581, and words are cut before it.

#include <string>

#include "formats/tokenizer/pretokenizer.h"

namespace qe {

class Metaspace final : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };
  struct Options {
    std::string replacement = "\u2581";
    Prepend prepend = Prepend::kAlways;  ///< where a word gets one that does not begin with it
    bool split = true;
  };
  /// From {"replacement", "prepend_scheme", "split"} (also of a decoder).
  static Options options(const Json& json);

  explicit Metaspace(Options options) : options_(std::move(options)) {}
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override;

 private:
  Options options_;
};

}  // namespace qe
