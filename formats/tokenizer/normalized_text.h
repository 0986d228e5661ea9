// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Text on its way through normalization, with the place in the original text of every byte.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qe {

/// [begin, end) in code points of the original text.
struct Span {
  int32_t begin;
  int32_t end;
};

/// A piece of text and, for each of its bytes, the original code points it stands for. The bytes
/// of one character share one span; spans never step back.
struct NormalizedText {
  std::string text;
  std::vector<Span> spans;

  /// Starts over with a piece of the original (valid UTF-8) whose first code point is number
  /// `first`. Keeps its memory.
  void assign(std::string_view piece, int32_t first);

  /// The span of bytes [begin, end), which must not be empty.
  Span span_of(size_t begin, size_t end) const { return {spans[begin].begin, spans[end - 1].end}; }
};

/// Byte range [begin, end) of a text.
struct ByteRange {
  size_t begin;
  size_t end;
};

}  // namespace qe
