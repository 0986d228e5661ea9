// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/unicode.h"

#include <doctest/doctest.h>

#include <string>

namespace qe::unicode {
namespace {

std::u32string decomposed(char32_t c) {
  char32_t out[4];
  const int n = decompose_canonical(c, CharTable::get().flags(c), out);
  return {out, static_cast<size_t>(n)};
}

std::u32string lower(char32_t c) {
  char32_t out[2];
  const int n = to_lower(c, out);
  return {out, static_cast<size_t>(n)};
}

TEST_CASE("flags are found for all code points") {
  const CharTable& table = CharTable::get();
  CHECK(table.flags(' ') == kWhitespace);
  CHECK(table.flags('!') == kPunctuation);
  CHECK(table.flags('_') == (kPunctuation | kWord | kPatternWord));
  CHECK(table.flags('0') == (kWord | kPatternWord | kNumeric));
  CHECK(table.flags('Q') == (kWord | kPatternWord | kHasLower));
  CHECK(table.flags('a') == (kWord | kPatternWord));
  CHECK(table.flags('\0') == kControl);
  CHECK(table.flags('\t') == kWhitespace);
  CHECK(table.flags(0x85) == (kWhitespace | kControl));
  CHECK(table.flags(0x301) == (kNonspacingMark | kMark | kWord | kPatternWord | kCombining));
  CHECK(table.flags(0xFFFD) == kControl);
  CHECK(table.flags(0x4E2D) == (kWord | kPatternWord));
  CHECK(table.flags(0x10FFFD) == kControl);  // private use
  CHECK(table.flags(0x110000) == 0);
  CHECK(table.flags(0xFFFFFFFF) == 0);
}

TEST_CASE("decompositions are full") {
  CHECK(decomposed(U'a') == U"a");
  CHECK(decomposed(U'é') == U"e\u0301");
  CHECK(decomposed(U'ǖ') == U"u\u0308\u0304");
  CHECK(decomposed(0x1F82) == U"\u03B1\u0313\u0300\u0345");
  CHECK(decomposed(0x212B) == U"A\u030A");  // the angstrom sign
  CHECK(decomposed(0x2FA1D) == U"\U0002A600");
  CHECK(decomposed(U'가') == U"\u1100\u1161");
  CHECK(decomposed(U'힣') == U"\u1112\u1175\u11C2");
}

TEST_CASE("categories and scripts") {
  const CharTable& table = CharTable::get();
  CHECK(table.category('a') == kLl);
  CHECK(table.category(U'٣') == kNd);
  CHECK(table.category(U'中') == kLo);
  CHECK(table.category(0x301) == kMn);
  CHECK(table.category(0x10FFFF) == kCn);
  CHECK(is_letter(table.category(U'ǅ')));
  CHECK(is_number(table.category(U'½')));
  CHECK(!is_letter(table.category('_')));
  CHECK(script('a') != script('!'));
  CHECK(script(' ') == 0);
  CHECK(script(U'あ') == script(U'中'));
  CHECK(script(U'a') != script(U'ж'));
}

TEST_CASE("compatibility decompositions and compositions") {
  const auto compatible = [](char32_t c) {
    char32_t out[18];
    const int n = decompose_compatible(c, CharTable::get().flags(c), out);
    return std::u32string(out, static_cast<size_t>(n));
  };
  CHECK(compatible(U'ﬁ') == U"fi");
  CHECK(compatible(U'½') == U"1\u20442");
  CHECK(compatible(U'é') == U"e\u0301");
  CHECK(compatible(0xFDFA).size() == 18);
  CHECK(compose('e', 0x301) == U'é');
  CHECK(compose(U'ü', 0x304) == U'ǖ');
  CHECK(compose(0x1112, 0x1175) == U'히');
  CHECK(compose(U'히', 0x11C2) == U'힣');
  CHECK(compose(U'힣', 0x11C2) == 0);
  CHECK(compose('e', 'e') == 0);
  CHECK(compose(0x915, 0x93C) == 0);  // excluded from composition
}

TEST_CASE("combining classes") {
  CHECK(combining_class('a') == 0);
  CHECK(combining_class(0x301) == 230);
  CHECK(combining_class(0x323) == 220);
  CHECK(combining_class(0x334) == 1);
  CHECK(combining_class(0x345) == 240);
  CHECK(combining_class(0x10FFFF) == 0);
}

TEST_CASE("lower case") {
  CHECK(lower('Z') == U"z");
  CHECK(lower('z') == U"z");
  CHECK(lower(U'Ā') == U"ā");
  CHECK(lower(U'ā') == U"ā");
  CHECK(lower(U'İ') == U"i\u0307");
  CHECK(lower(U'ẞ') == U"ß");
  CHECK(lower(0x1E921) == U"\U0001E943");  // the last of a range
  CHECK(lower(0x10FFFF) == U"\U0010FFFF");
}

}  // namespace
}  // namespace qe::unicode
