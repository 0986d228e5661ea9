// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/char_normalizers.h"

#include "formats/tokenizer/byte_level.h"
#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"

namespace qe {
namespace {

using unicode::CharTable;

/// Rewrites the text: `put(c, emit)` emits what is to stand for each character.
template <class Put>
void map_chars(NormalizedText& text, Put put) {
  static thread_local NormalizedText out;
  out.clear();
  for (size_t i = 0; i < text.text.size();) {
    const Span span = text.spans[i];
    put(next_code_point(text.text, i), [&](char32_t c) { out.append(c, span); });
  }
  text.text.swap(out.text);
  text.spans.swap(out.spans);
}

bool is_dropped_by_nmt(char32_t c) {
  return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
         c == 0x9F;
}

bool is_space_for_nmt(char32_t c) {
  return c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
         c == 0xFFFD;
}

bool is_space(char32_t c) { return CharTable::get().flags(c) & unicode::kWhitespace; }

}  // namespace

void Lowercase::normalize(NormalizedText& text) const {
  if (is_ascii(text.text)) {
    for (char& c : text.text) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    }
    return;
  }
  map_chars(text, [](char32_t c, auto emit) {
    if (!(CharTable::get().flags(c) & unicode::kHasLower)) return emit(c);
    char32_t lowered[2];
    const int n = unicode::to_lower(c, lowered);
    for (int k = 0; k < n; ++k) emit(lowered[k]);
  });
}

void StripAccents::normalize(NormalizedText& text) const {
  if (is_ascii(text.text)) return;
  map_chars(text, [](char32_t c, auto emit) {
    if (!(CharTable::get().flags(c) & unicode::kMark)) emit(c);
  });
}

void Strip::normalize(NormalizedText& text) const {
  size_t begin = 0, end = text.text.size();
  for (size_t i = 0; left_ && i < end; begin = i) {
    if (!is_space(next_code_point(text.text, i))) break;
  }
  for (size_t i = end; right_ && i > begin; end = i) {
    if (!is_space(previous_code_point(text.text, i))) break;
  }
  text.text.resize(end);
  text.spans.resize(end);
  text.text.erase(0, begin);
  text.spans.erase(text.spans.begin(), text.spans.begin() + static_cast<ptrdiff_t>(begin));
}

void Prepend::normalize(NormalizedText& text) const {
  if (text.text.empty()) return;
  text.check_size(text.text.size() + prefix_.size());
  text.text.insert(0, prefix_);
  text.spans.insert(text.spans.begin(), prefix_.size(), Span(text.spans[0]));
}

void Nmt::normalize(NormalizedText& text) const {
  map_chars(text, [](char32_t c, auto emit) {
    if (!is_dropped_by_nmt(c)) emit(is_space_for_nmt(c) ? U' ' : c);
  });
}

void ByteLevelNormalizer::normalize(NormalizedText& text) const {
  static thread_local NormalizedText out;
  out.clear();
  append_byte_level(text, 0, text.text.size(), out);
  text.text.swap(out.text);
  text.spans.swap(out.spans);
}

}  // namespace qe
