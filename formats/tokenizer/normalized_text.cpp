// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/normalized_text.h"

#include <algorithm>

#include "formats/utf8.h"
#include "kernels/core/error.h"

namespace qe {
namespace {

constexpr size_t kMaxGrowth = 64;                        // times as long
constexpr size_t kMinRoom = size_t{1} << 16;             // that short texts have anyway
constexpr size_t kMaxRewritten = (size_t{1} << 30) - 1;  // places in words are 32 bits

/// Moves `at` past n characters, at most to the end.
void skip_chars(std::string_view text, size_t& at, int32_t n) {
  for (; n > 0 && at < text.size(); --n) next_code_point(text, at);
}

}  // namespace

size_t max_rewritten_bytes(size_t n) { return std::min(kMaxGrowth * n + kMinRoom, kMaxRewritten); }

void NormalizedText::assign(std::string_view piece, int32_t first) {
  max_bytes = max_rewritten_bytes(piece.size());
  text.assign(piece);
  spans.resize(piece.size());
  origin = first;
  int32_t next = first;
  for (size_t i = 0; i < piece.size(); ++i) {
    if ((static_cast<unsigned char>(piece[i]) & 0xC0) != 0x80) ++next;
    spans[i] = {next - 1, next};
  }
}

void NormalizedText::assign(const NormalizedText& other, size_t begin, size_t end) {
  clear();
  append(other, begin, end);
  max_bytes = other.max_bytes;
  origin = begin < end ? other.spans[begin].begin : other.origin;
}

void NormalizedText::clear() {
  text.clear();
  spans.clear();
}

void NormalizedText::check_size(size_t n_bytes) const {
  QE_CHECK(n_bytes <= max_bytes, "the tokenizer's rules make the text too long: more than ",
           max_bytes, " bytes");
}

void NormalizedText::append(char32_t c, Span span) {
  char bytes[4];
  append(std::string_view(bytes, static_cast<size_t>(write_utf8(c, bytes))), span);
}

void NormalizedText::append(const NormalizedText& other, size_t begin, size_t end) {
  text.append(other.text, begin, end - begin);
  spans.insert(spans.end(), other.spans.begin() + static_cast<ptrdiff_t>(begin),
               other.spans.begin() + static_cast<ptrdiff_t>(end));
}

void NormalizedText::apply(const std::vector<CharChange>& changes) {
  static thread_local NormalizedText old;
  old.text.swap(text);
  old.spans.swap(spans);
  clear();
  size_t at = 0;  // bytes of the old text that are accounted for
  for (const CharChange& item : changes) {
    Span span{origin, origin};  // new before anything
    if (item.change > 0) {
      if (at > 0) span = old.spans[at - 1];
    } else {
      if (at < old.spans.size()) span = old.spans[at];
      skip_chars(old.text, at, 1 - item.change);
    }
    append(item.c, span);
  }
}

}  // namespace qe
