// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/grapheme.h"

#include "formats/tokenizer/unicode.h"
#include "formats/utf8.h"

namespace qe {
namespace {

using namespace unicode;

enum class Hangul { kNone, kLead, kVowelOrOpen, kTrailOrClosed };

bool is_syllable(char32_t c) { return c >= 0xAC00 && c < 0xAC00 + 11172; }

/// What may follow inside a syllable: after kVowelOrOpen a vowel or trail, after kTrailOrClosed a
/// trail.
Hangul hangul_before(char32_t c, uint8_t kind) {
  if (is_syllable(c)) {
    return (c - 0xAC00) % 28 == 0 ? Hangul::kVowelOrOpen : Hangul::kTrailOrClosed;
  }
  return kind == unicode::kLead    ? Hangul::kLead
         : kind == unicode::kVowel ? Hangul::kVowelOrOpen
         : kind == unicode::kTrail ? Hangul::kTrailOrClosed
                                   : Hangul::kNone;
}

bool hangul_joins(Hangul before, char32_t c, uint8_t kind) {
  switch (before) {
    case Hangul::kLead:
      return kind == unicode::kLead || kind == unicode::kVowel || is_syllable(c);
    case Hangul::kVowelOrOpen:
      return kind == unicode::kVowel || kind == unicode::kTrail;
    case Hangul::kTrailOrClosed:
      return kind == unicode::kTrail;
    case Hangul::kNone:
      return false;
  }
  return false;
}

}  // namespace

size_t end_of_grapheme(std::string_view text, size_t begin) {
  size_t at = begin;
  char32_t before = next_code_point(text, at);
  if (before == '\r') return at < text.size() && text[at] == '\n' ? at + 1 : at;
  if (before < 128 && (at == text.size() || static_cast<unsigned char>(text[at]) < 128)) return at;
  uint8_t value = grapheme(before);
  uint8_t kind = value & kGraphemeClass;
  if (kind == kBreak || before == '\n') return at;
  bool pictograph = value & kPictograph;  // and extenders since
  bool after_joiner = false;              // and a joiner after that
  bool consonant = value & kConsonant;    // and linkers or extenders since
  bool linked = false;                    // with a linker
  while (at < text.size()) {
    size_t next = at;
    const char32_t c = next_code_point(text, next);
    value = grapheme(c);
    const uint8_t next_kind = value & kGraphemeClass;
    if (next_kind == kBreak || c == '\r' || c == '\n') return at;
    const bool joins = next_kind == kExtend || next_kind == kJoiner || next_kind == kSpacing ||
                       kind == kPrepend ||
                       hangul_joins(hangul_before(before, kind), c, next_kind) ||
                       (after_joiner && (value & kPictograph)) || (linked && (value & kConsonant));
    if (!joins) return at;
    after_joiner = pictograph && next_kind == kJoiner;
    pictograph = (value & kPictograph) || (pictograph && next_kind == kExtend);
    linked = consonant && !(value & kConsonant) &&
             ((value & kLinker) || (linked && (value & kConjunctExtend)));
    consonant = (value & kConsonant) || (consonant && (value & (kLinker | kConjunctExtend)));
    before = c;
    kind = next_kind;
    at = next;
  }
  return at;
}

}  // namespace qe
