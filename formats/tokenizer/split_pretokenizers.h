// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Pre-tokenizers that cut at matches of something.

#include <functional>

#include "formats/tokenizer/pattern.h"
#include "formats/tokenizer/pretokenizer.h"

namespace qe {

/// Cuts at characters for which a property holds.
class CharPreTokenizer final : public PreTokenizer {
 public:
  CharPreTokenizer(std::function<bool(char32_t)> matches, SplitBehavior behavior)
      : matches_(std::move(matches)), behavior_(behavior) {}
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override;

 private:
  std::function<bool(char32_t)> matches_;
  SplitBehavior behavior_;
};

/// Cuts at matches of a pattern, or (inverted) between them.
class SplitPreTokenizer final : public PreTokenizer {
 public:
  SplitPreTokenizer(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override;

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

/// Runs of word characters, runs of others; white space is dropped.
class WhitespacePreTokenizer final : public PreTokenizer {
 public:
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override;
};

/// Cuts where the script changes. Hiragana, katakana and Han count as one; characters of any
/// script belong to what is before them.
class UnicodeScripts final : public PreTokenizer {
 public:
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override;
};

/// Words of so many characters each.
class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(int64_t n_chars) : n_chars_(n_chars) {}
  void split(NormalizedText& text, std::vector<ByteRange>& words) const override;

 private:
  int64_t n_chars_;
};

}  // namespace qe
