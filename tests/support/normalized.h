// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// What a normalizer makes of a text, in a form for tests.

#include <string>
#include <string_view>

#include "formats/tokenizer/normalizer.h"
#include "formats/utf8.h"

namespace qe::test {

struct Normalized {
  std::string text;
  std::string spans;  ///< "begin-end " of each character
};

/// Normalizes a piece whose first code point is number `first`.
inline Normalized normalized(std::string_view piece, const Normalizer& normalizer, int first = 0) {
  NormalizedText text;
  text.assign(piece, first);
  normalizer.normalize(text);
  Normalized result{text.text, ""};
  for (size_t i = 0; i < text.text.size();) {
    const Span span = text.spans[i];
    result.spans += std::to_string(span.begin) + "-" + std::to_string(span.end) + " ";
    next_code_point(text.text, i);
  }
  return result;
}

inline std::string utf8(char32_t c) {
  char bytes[4];
  return {bytes, static_cast<size_t>(write_utf8(c, bytes))};
}

}  // namespace qe::test
