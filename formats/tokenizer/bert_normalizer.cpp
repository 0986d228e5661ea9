// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/bert_normalizer.h"

#include <algorithm>

#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"

// ASCII text takes one pass over bytes. Other text becomes a list of characters with spans, each
// step rewrites the list, and the result is written back. Where a step makes several characters of
// one, all get its span; canonical reordering moves marks but not spans, so that spans stay in
// order (the reference does the same).

namespace qe {

using unicode::CharTable;

struct BertNormalizer::Char {
  char32_t c;
  Span span;
};

namespace {

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) ||
         (c >= 0x2B920 && c <= 0x2CEAF) ||  // sic: the reference starts at 2B920, not 2B820
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/// Canonical decomposition in canonical order.
class Decomposer {
 public:
  explicit Decomposer(const CharTable& table) : table_(table) {}

  /// Appends c's decomposition.
  void push(char32_t c) {
    const uint16_t flags = table_.flags(c);
    char32_t parts[4];
    const int n = unicode::decompose_canonical(c, flags, parts);
    for (int k = 0; k < n; ++k) {
      const uint16_t part_flags = parts[k] == c ? flags : table_.flags(parts[k]);
      const bool combining = part_flags & unicode::kCombining;
      if (!combining) sort_marks();
      parts_.push_back({parts[k], combining ? unicode::combining_class(parts[k]) : uint8_t{0},
                        k == 0, (part_flags & unicode::kNonspacingMark) != 0});
      if (!combining) first_mark_ = parts_.size();
    }
  }

  struct Part {
    char32_t c;
    uint8_t combining_class;
    bool is_first;  // of its character's decomposition
    bool is_nonspacing_mark;
  };
  const std::vector<Part>& finish() {
    sort_marks();
    return parts_;
  }

 private:
  void sort_marks() {
    if (parts_.size() - first_mark_ < 2) return;
    std::stable_sort(
        parts_.begin() + static_cast<ptrdiff_t>(first_mark_), parts_.end(),
        [](const Part& a, const Part& b) { return a.combining_class < b.combining_class; });
  }

  const CharTable& table_;
  std::vector<Part> parts_;
  size_t first_mark_ = 0;  // parts from here on are not yet in order
};

}  // namespace

BertNormalizer::Options BertNormalizer::options(const Json& json) {
  const Options defaults;
  const auto flag = [&](const char* key, bool fallback) {
    const Json* member = json.find(key);
    return member == nullptr ? fallback : member->as_bool();
  };
  Options options;
  options.clean_text = flag("clean_text", defaults.clean_text);
  options.handle_chinese_chars = flag("handle_chinese_chars", defaults.handle_chinese_chars);
  options.lowercase = flag("lowercase", defaults.lowercase);
  const Json* accents = json.find("strip_accents");
  if (accents != nullptr && !accents->is_null()) options.strip_accents = accents->as_bool();
  return options;
}

BertNormalizer::BertNormalizer(const Options& options)
    : options_(options), strip_accents_(options.strip_accents.value_or(options.lowercase)) {}

void BertNormalizer::normalize_ascii(NormalizedText& text) const {
  size_t n = 0;
  for (size_t i = 0; i < text.text.size(); ++i) {
    char c = text.text[i];
    if (options_.clean_text && (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)) {
      if (c != '\t' && c != '\n' && c != '\r') continue;
      c = ' ';
    }
    if (options_.lowercase && c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    text.text[n] = c;
    text.spans[n] = text.spans[i];
    ++n;
  }
  text.text.resize(n);
  text.spans.resize(n);
}

void BertNormalizer::clean(std::vector<Char>& chars) const {
  const CharTable& table = CharTable::get();
  size_t n = 0;
  for (const Char& item : chars) {
    const uint16_t flags = table.flags(item.c);
    if (flags & unicode::kControl) continue;
    chars[n++] = {flags & unicode::kWhitespace ? U' ' : item.c, item.span};
  }
  chars.resize(n);
}

void BertNormalizer::normalize(NormalizedText& text) const {
  if (is_ascii(text.text)) return normalize_ascii(text);

  std::vector<Char> chars, next;
  chars.reserve(text.text.size());
  for (size_t i = 0; i < text.text.size();) {
    const Span span = text.spans[i];
    chars.push_back({next_code_point(text.text, i), span});
  }
  if (options_.clean_text) clean(chars);
  if (options_.handle_chinese_chars) {
    next.clear();
    for (const Char& item : chars) {
      const bool chinese = is_chinese(item.c);
      if (chinese) next.push_back({U' ', item.span});
      next.push_back(item);
      if (chinese) next.push_back({U' ', item.span});
    }
    chars.swap(next);
  }
  if (strip_accents_) {
    Decomposer decomposer(CharTable::get());
    for (const Char& item : chars) decomposer.push(item.c);
    next.clear();
    size_t n_read = 0;  // characters whose first part was seen
    for (const Decomposer::Part& part : decomposer.finish()) {
      n_read += part.is_first;
      if (!part.is_nonspacing_mark) next.push_back({part.c, chars[n_read - 1].span});
    }
    chars.swap(next);
  }

  text.text.clear();
  text.spans.clear();
  const CharTable& table = CharTable::get();
  for (const Char& item : chars) {
    char32_t lowered[2] = {item.c};
    const bool lowers = options_.lowercase && (table.flags(item.c) & unicode::kHasLower);
    const int n = lowers ? unicode::to_lower(item.c, lowered) : 1;
    for (int k = 0; k < n; ++k) {
      char bytes[4];
      const int n_bytes = write_utf8(lowered[k], bytes);
      text.text.append(bytes, static_cast<size_t>(n_bytes));
      text.spans.insert(text.spans.end(), static_cast<size_t>(n_bytes), item.span);
    }
  }
}

}  // namespace qe
