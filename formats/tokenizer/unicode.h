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
enum Flag : uint16_t {
  kWhitespace = 1,           ///< White_Space; \s of patterns
  kControl = 2,              ///< dropped by BERT's clean_text (Cc, Cf, Co, U+FFFD; not \t \n \r)
  kPunctuation = 4,          ///< isolated by BertPreTokenizer
  kNonspacingMark = 8,       ///< dropped by BERT's strip_accents
  kWord = 16,                ///< \w of single_word added tokens and of Whitespace
  kHasLower = 32,            ///< to_lower changes it
  kDecomposes = 64,          ///< has a stored canonical decomposition (Hangul is computed)
  kCombining = 128,          ///< canonical combining class above 0
  kMark = 256,               ///< dropped by StripAccents
  kNumeric = 512,            ///< isolated by Digits
  kDecomposesCompat = 1024,  ///< its compatibility decomposition is not the canonical one
  kPatternWord = 2048        ///< \w of patterns
};

/// General categories, in the order of the generated table.
enum Category : uint8_t {
  // clang-format off
  kCn, kCc, kCf, kCo, kLl, kLm, kLo, kLt, kLu, kMc, kMe, kMn, kNd, kNl, kNo, kPc, kPd, kPe, kPf,
  kPi, kPo, kPs, kSc, kSk, kSm, kSo, kZl, kZp, kZs, kCategoryCount
  // clang-format on
};
/// The two letters of a category.
extern const char* const kCategoryNames[kCategoryCount];
inline bool is_letter(uint8_t category) { return category >= kLl && category <= kLu; }
inline bool is_number(uint8_t category) { return category >= kNd && category <= kNo; }

/// What a character does in a grapheme cluster: a class, and bits beside it.
enum Grapheme : uint8_t {
  kOther,
  kBreak,  ///< controls
  kExtend,
  kJoiner,  ///< U+200D
  kSpacing,
  kPrepend,
  kLead,  ///< Hangul; syllables are computed
  kVowel,
  kTrail,
  kGraphemeClass = 15,  ///< mask of the above
  kPictograph = 16,
  kConsonant = 32,       ///< of an Indic conjunct
  kLinker = 64,          ///< joins two of them
  kConjunctExtend = 128  ///< may stand between
};

/// One value for every code point: generated runs, spread into blocks of 256.
template <class T>
class BlockTable {
 public:
  /// `value_of(c)` is asked for all code points in ascending order.
  template <class ValueOf>
  explicit BlockTable(ValueOf value_of) {
    std::array<T, 256> values;
    for (size_t block = 0; block < block_of_.size(); ++block) {
      for (size_t k = 0; k < values.size(); ++k) {
        values[k] = value_of(static_cast<char32_t>(block << 8 | k));
      }
      // Most blocks repeat the one before (ideographs, private use, unassigned planes).
      bool repeats = block > 0;
      for (size_t k = 0; repeats && k < values.size(); ++k) {
        repeats = values[k] == blocks_[blocks_.size() - 256 + k];
      }
      if (!repeats) blocks_.insert(blocks_.end(), values.begin(), values.end());
      block_of_[block] = static_cast<uint16_t>(blocks_.size() / 256 - 1);
    }
  }
  /// 0 for values above U+10FFFF.
  T operator[](char32_t c) const {
    return c < 0x110000 ? blocks_[size_t{block_of_[c >> 8]} << 8 | (c & 0xFF)] : T{0};
  }

 private:
  std::array<uint16_t, 0x1100> block_of_;
  std::vector<T> blocks_;
};

/// Flags and categories of every code point, spread at first use.
class CharTable {
 public:
  static const CharTable& get();
  uint16_t flags(char32_t c) const { return flags_[c]; }
  uint8_t category(char32_t c) const { return categories_[c]; }

 private:
  CharTable();
  BlockTable<uint16_t> flags_;
  BlockTable<uint8_t> categories_;
};

/// Of Grapheme; syllables of Hangul are kOther here.
uint8_t grapheme(char32_t c);
/// A script's number; 0: any script.
uint8_t script(char32_t c);

/// Full lower case, one or two code points; returns how many were written.
int to_lower(char32_t c, char32_t out[2]);

/// Full canonical decomposition (Hangul included), at most 4 code points; returns how many.
/// `flags` are CharTable's of c.
int decompose_canonical(char32_t c, uint16_t flags, char32_t out[4]);
/// Full compatibility decomposition, at most 18 code points.
int decompose_compatible(char32_t c, uint16_t flags, char32_t out[18]);
/// The primary composite of two characters (Hangul included), or 0.
char32_t compose(char32_t first, char32_t second);

/// Canonical combining class.
uint8_t combining_class(char32_t c);

// The generated tables.
struct Run {
  char32_t first;  // up to the next run's first - 1
  uint16_t value;
};
struct LowerRange {
  char32_t first, last;
  uint8_t step;  // 2: every second code point
  int32_t delta;
};
struct Composition {
  char32_t first, second, composed;
};
extern const char kTablesSource[];    // whose behaviour they hold: "tokenizers 0.23.3"
extern const char kTablesVersions[];  // the Unicode versions that it mixes
extern const Run kFlagRuns[], kCombiningClassRuns[], kCategoryRuns[], kGraphemeRuns[],
    kScriptRuns[];
extern const size_t kFlagRunCount, kCombiningClassRunCount, kCategoryRunCount, kGraphemeRunCount,
    kScriptRunCount;
extern const LowerRange kLowerRanges[];
extern const size_t kLowerRangeCount;
extern const uint32_t kDecompositions[], kCompatDecompositions[];
extern const size_t kDecompositionsSize, kCompatDecompositionsSize;
extern const Composition kCompositions[];  // ascending by (first, second)
extern const size_t kCompositionCount;

}  // namespace qe::unicode
