// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#pragma once

// Unicode properties as the reference tokenizer library sees them. The data is generated from its
// observed behaviour (scripts/gen_unicode_tables.py); it mixes Unicode versions, as the library
// does, and is the reason why ids depend on no Unicode library.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace qe::unicode {

/// Bits of CharTable::flags.
enum Flag : uint8_t {
  kWhitespace = 1,      ///< White_Space
  kControl = 2,         ///< dropped by BERT's clean_text (Cc, Cf, Co, U+FFFD; not \t \n \r)
  kPunctuation = 4,     ///< isolated by BertPreTokenizer
  kNonspacingMark = 8,  ///< dropped by BERT's strip_accents
  kWord = 16,           ///< \w of single_word added tokens
  kHasLower = 32,       ///< to_lower changes it
  kDecomposes = 64,     ///< has a stored canonical decomposition (Hangul is computed)
  kCombining = 128,     ///< canonical combining class above 0
};

/// Flags of every code point: the generated runs, spread into blocks of 256 at first use.
class CharTable {
 public:
  static const CharTable& get();
  /// Flag bits; 0 for values above U+10FFFF.
  uint8_t flags(char32_t c) const {
    return c < 0x110000 ? blocks_[size_t{block_of_[c >> 8]} << 8 | (c & 0xFF)] : 0;
  }

 private:
  CharTable();
  std::array<uint16_t, 0x1100> block_of_;
  std::vector<uint8_t> blocks_;
};

/// Full lower case, one or two code points; returns how many were written.
int to_lower(char32_t c, char32_t out[2]);

/// Full canonical decomposition (Hangul included), at most 4 code points; returns how many.
/// `flags` are CharTable's of c.
int decompose_canonical(char32_t c, uint8_t flags, char32_t out[4]);

/// Canonical combining class.
uint8_t combining_class(char32_t c);

// The generated tables.
struct Run {
  char32_t first;  // up to the next run's first - 1
  uint8_t value;
};
struct LowerRange {
  char32_t first, last;
  uint8_t step;  // 2: every second code point
  int32_t delta;
};
extern const char kTablesSource[];    // whose behaviour they hold: "tokenizers 0.23.3"
extern const char kTablesVersions[];  // the Unicode versions that it mixes
extern const Run kFlagRuns[];
extern const size_t kFlagRunCount;
extern const Run kCombiningClassRuns[];
extern const size_t kCombiningClassRunCount;
extern const LowerRange kLowerRanges[];
extern const size_t kLowerRangeCount;
extern const uint32_t kDecompositions[];
extern const size_t kDecompositionsSize;

}  // namespace qe::unicode
