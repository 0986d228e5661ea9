// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// All matches of a pattern become a text.

#include <string>

#include "formats/tokenizer/normalizer.h"
#include "formats/tokenizer/pattern.h"

namespace qe {

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  /// The new characters belong to the last character of the match.
  void normalize(NormalizedText& text) const override;
  /// Error when the result would be longer than max_bytes.
  std::string replaced(std::string_view text, size_t max_bytes) const;

 private:
  size_t replaced_size(std::string_view text, const std::vector<ByteRange>& matches) const;

  Pattern pattern_;
  std::string content_;
};

}  // namespace qe
