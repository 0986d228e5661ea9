// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/normal_forms.h"

#include <algorithm>

#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"

// Decomposition, canonical order, then (C and KC) composition. A composite stands for all
// characters it was made of: it counts as many changes as were merged into it. Reordering moves
// characters together with their changes, so that spans stay in order (as the reference has it).

namespace qe {
namespace {

struct Part {
  char32_t c;
  int32_t change;
  uint8_t combining_class;
};

/// All of the text, decomposed and in canonical order.
void decompose(std::string_view text, bool compatible, std::vector<Part>& parts) {
  const unicode::CharTable& table = unicode::CharTable::get();
  size_t first_mark = 0;  // parts from here on are not yet in order
  const auto sort_marks = [&] {
    std::stable_sort(
        parts.begin() + static_cast<ptrdiff_t>(first_mark), parts.end(),
        [](const Part& a, const Part& b) { return a.combining_class < b.combining_class; });
  };
  parts.clear();
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    char32_t decomposed[18];
    const int n = compatible ? unicode::decompose_compatible(c, table.flags(c), decomposed)
                             : unicode::decompose_canonical(c, table.flags(c), decomposed);
    for (int k = 0; k < n; ++k) {
      const bool combining = table.flags(decomposed[k]) & unicode::kCombining;
      if (!combining) sort_marks();
      parts.push_back({decomposed[k], k == 0 ? 0 : 1,
                       combining ? unicode::combining_class(decomposed[k]) : uint8_t{0}});
      if (!combining) first_mark = parts.size();
    }
  }
  sort_marks();
}

/// Merges what composes; keeps the order of the rest.
void compose(std::vector<Part>& parts) {
  constexpr size_t kNone = SIZE_MAX;
  size_t starter = kNone;  // what following parts may compose with
  size_t n = 0;
  uint8_t last_class = 0;  // of the parts kept since the starter
  bool any_since = false;
  for (const Part part : parts) {
    const bool blocked = any_since && last_class >= part.combining_class;
    const char32_t composed =
        starter == kNone || blocked ? 0 : unicode::compose(parts[starter].c, part.c);
    if (composed != 0) {
      parts[starter].c = composed;
      parts[starter].change += part.change - 1;
      continue;
    }
    if (part.combining_class == 0) {
      starter = n;
      any_since = false;
    } else if (starter != kNone) {
      last_class = part.combining_class;
      any_since = true;
    }
    parts[n++] = part;
  }
  parts.resize(n);
}

}  // namespace

void NormalForm::normalize(NormalizedText& text) const {
  if (is_ascii(text.text)) return;
  static thread_local std::vector<Part> parts;
  static thread_local std::vector<CharChange> changes;
  decompose(text.text, form_ == Form::kKC || form_ == Form::kKD, parts);
  if (form_ == Form::kC || form_ == Form::kKC) compose(parts);
  changes.clear();
  for (const Part& part : parts) changes.push_back({part.c, part.change});
  text.apply(changes);
}

}  // namespace qe
