// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/grapheme.h"

#include <doctest/doctest.h>

#include <string>

#include "formats/tokenizer/unicode.h"
#include "tests/support/normalized.h"

namespace qe {
namespace {

/// Number of code points in each cluster of the text.
std::string clusters(const std::string& text) {
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = end_of_grapheme(text, begin);
    REQUIRE(end > begin);
    out += std::to_string(count_code_points(std::string_view(text).substr(begin, end - begin)));
    begin = end;
  }
  return out;
}

TEST_CASE("grapheme clusters of UAX #29") {
  CHECK(clusters("") == "");
  CHECK(clusters("abc") == "111");
  CHECK(clusters("\r\n\r\r\n\n") == "2121");
  CHECK(clusters("a\r\u0301\n\u0301") == "11111");  // nothing joins a break
  CHECK(clusters("e\u0301\u0323x\u0302") == "32");
  CHECK(clusters("\u0301\u0301a") == "21");       // marks without a base
  CHECK(clusters("a\u200Db") == "21");            // a joiner alone joins to the left only
  CHECK(clusters("\u0915\u093F\u0916") == "21");  // a spacing mark
  CHECK(clusters("\u0600a") == "2");              // a prepended mark
  CHECK(clusters("\u0600\n") == "11");
  CHECK(clusters("a\u200Bb") == "111");           // zero width space: a control
  CHECK(clusters("\u0E01\u0E33\u0E01") == "21");  // Thai sara am
}

TEST_CASE("emoji joined by U+200D are one cluster") {
  CHECK(clusters("\U0001F468\u200D\U0001F469\u200D\U0001F467") == "5");
  CHECK(clusters("\U0001F44D\U0001F3FD\U0001F44D") == "21");  // with a skin tone
  CHECK(clusters("\u2764\uFE0F\u200D\U0001F525") == "4");
  CHECK(clusters("a\u200D\U0001F468") == "21");
  CHECK(clusters("\U0001F468\u200D\u200D\U0001F469") == "31");  // two joiners do not join
  CHECK(clusters("\U0001F468\u0301\u200D\U0001F469") == "4");
  // Regional indicators stay by themselves, as the header says.
  CHECK(clusters("\U0001F1E9\U0001F1EA") == "11");
}

TEST_CASE("syllables of Hangul are clusters") {
  CHECK(clusters("\u1100\u1161\u11A8\u1100\u1161") == "32");
  CHECK(clusters("\u1100\u1100\u1161\u1161\u11A8\u11A8") == "6");
  CHECK(clusters("\uAC00\u11A8\uAC00") == "21");
  CHECK(clusters("\uAC01\u11A8\u1161") == "21");  // no vowel after a closed syllable
  CHECK(clusters("\uAC01\uAC00") == "11");
  CHECK(clusters("\u1100\uAC00\u1161") == "3");
  CHECK(clusters("\u1161\u1100") == "11");
  CHECK(clusters("\u11A8\u1161") == "11");
}

TEST_CASE("conjuncts of Indic scripts are clusters") {
  CHECK(clusters("\u0915\u094D\u0937") == "3");
  CHECK(clusters("\u0915\u094D\u200D\u0937") == "4");
  CHECK(clusters("\u0915\u093C\u094D\u0937") == "4");
  CHECK(clusters("\u0915\u094Da") == "21");
  CHECK(clusters("\u0915\u0937") == "11");
  CHECK(clusters("a\u094D\u0937") == "21");  // no consonant before
}

TEST_CASE("clusters cover any text, from any of its characters") {
  // Every pair of one code point of each kind.
  std::vector<std::string> kinds(256);
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    if (kinds[unicode::grapheme(c)].empty()) kinds[unicode::grapheme(c)] = test::utf8(c);
  }
  size_t n_kinds = 0;
  for (const std::string& first : kinds) {
    n_kinds += !first.empty();
    for (const std::string& second : kinds) {
      if (first.empty() || second.empty()) continue;
      const std::string pair = clusters(first + second);
      CHECK((pair == "11" || pair == "2"));
      // What a cluster begins with does not depend on what follows it.
      CHECK(clusters("x" + first + second).size() >= pair.size());
    }
  }
  CHECK(n_kinds >= 12);
}

}  // namespace
}  // namespace qe
