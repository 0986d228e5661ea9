// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Normalizers that look at one character at a time.

#include <string>

#include "formats/tokenizer/normalizer.h"

namespace qe {

/// Full lower case of every character by itself.
class Lowercase final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override;
};

/// Drops marks. Does not decompose.
class StripAccents final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override;
};

/// Drops white space at the ends.
class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void normalize(NormalizedText& text) const override;

 private:
  bool left_, right_;
};

/// Puts a text before any text that is not empty.
class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void normalize(NormalizedText& text) const override;

 private:
  std::string prefix_;
};

/// Sentencepiece's "nmt": some controls dropped, several kinds of space become ' '.
class Nmt final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override;
};

/// Every byte becomes the character that stands for it (byte_level.h).
class ByteLevelNormalizer final : public Normalizer {
 public:
  void normalize(NormalizedText& text) const override;
};

}  // namespace qe
