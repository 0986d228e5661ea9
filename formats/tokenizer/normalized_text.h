// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Text on its way through normalization, with the place in the original text of every byte.

#include <cstddef>
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

/// A character of a rewritten text: how it came from those before. 0: it replaces the next one;
/// -n: so, and the n after that are gone; 1: it is new and belongs to the one before.
struct CharChange {
  char32_t c;
  int32_t change;
};

/// Bytes that n bytes of text may become on their way to the model. Real tokenizers stay below 20
/// n.
size_t max_rewritten_bytes(size_t n);

/// A piece of text and, for each of its bytes, the original code points it stands for. The bytes
/// of one character share one span.
struct NormalizedText {
  std::string text;
  std::vector<Span> spans;
  int32_t origin = 0;           ///< the original code point where the piece begins
  size_t max_bytes = SIZE_MAX;  ///< what it may grow to

  /// Starts over with a piece of the original (valid UTF-8) whose first code point is number
  /// `first`. Keeps its memory.
  void assign(std::string_view piece, int32_t first);
  /// Becomes a part of another text.
  void assign(const NormalizedText& other, size_t begin, size_t end);
  /// Starts over, empty.
  void clear();
  /// Appends a character's bytes, all of the same span.
  void append(std::string_view bytes, Span span) {
    text.append(bytes);
    spans.insert(spans.end(), bytes.size(), span);
  }
  void append(char32_t c, Span span);
  /// Appends bytes [begin, end) of another text.
  void append(const NormalizedText& other, size_t begin, size_t end);

  /// Error when n_bytes are more than the text may grow to. Rewriting that is not limited by itself
  /// (as lower case is) checks before it writes; sequences check after each of their parts.
  void check_size(size_t n_bytes) const;

  /// Rewrites the text as the changes say. What they do not account for is gone.
  void apply(const std::vector<CharChange>& changes);

  /// The span of bytes [begin, end), which must not be empty.
  Span span_of(size_t begin, size_t end) const { return {spans[begin].begin, spans[end - 1].end}; }
};

/// Byte range [begin, end) of a text.
struct ByteRange {
  size_t begin;
  size_t end;
};

}  // namespace qe
