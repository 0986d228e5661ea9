// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/tokenizer/char_normalizers.h"

#include <doctest/doctest.h>

#include "tests/support/normalized.h"
#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

void check(const Normalizer& normalizer, std::string_view piece, const std::string& text,
           const std::string& spans) {
  const test::Normalized got = test::normalized(piece, normalizer, 10);
  CHECK(got.text == text);
  CHECK(got.spans == spans);
}

TEST_CASE("lower case") {
  check(Lowercase(), "aB\tZ[", "ab\tz[", "10-11 11-12 12-13 13-14 14-15 ");
  check(Lowercase(), "a\u0130B", "ai\u0307b", "10-11 11-12 11-12 12-13 ");
  check(Lowercase(), "\u03A3\u1E9E\U00010400", "\u03C3\u00DF\U00010428", "10-11 11-12 12-13 ");
  check(Lowercase(), "", "", "");
}

TEST_CASE("marks are dropped without decomposition") {
  check(StripAccents(), "ab", "ab", "10-11 11-12 ");
  check(StripAccents(), "e\u0301x\u0903", "ex", "10-11 12-13 ");
  check(StripAccents(), "\u00E9\u0301\u20DD", "\u00E9", "10-11 ");
  check(StripAccents(), "\u0301", "", "");
}

TEST_CASE("white space at the ends is dropped") {
  check(Strip(true, true), "\u3000 a b\t", "a b", "12-13 13-14 14-15 ");
  check(Strip(true, false), " a ", "a ", "11-12 12-13 ");
  check(Strip(false, true), " a \u00A0", " a", "10-11 11-12 ");
  check(Strip(false, false), " a ", " a ", "10-11 11-12 12-13 ");
  check(Strip(true, true), " \u2003\n", "", "");
  check(Strip(true, true), "", "", "");
}

TEST_CASE("a text is put before") {
  check(Prepend("\u2581\u2581"), "\u00E9a", "\u2581\u2581\u00E9a", "10-11 10-11 10-11 11-12 ");
  check(Prepend("x"), "", "", "");
  check(Prepend(""), "a", "a", "10-11 ");
  CHECK(error_of([] { test::normalized("a", Prepend(std::string(1 << 20, 'x'))); }) ==
        "the tokenizer's rules make the text too long: more than 65600 bytes");
}

TEST_CASE("sentencepiece's nmt") {
  check(Nmt(),
        "a\u200Bb\x07"
        "c\u2581\n",
        "a bc  ", "10-11 11-12 12-13 14-15 15-16 16-17 ");
  check(Nmt(), "\u008F\u009F\x7F\uFFFD\uFEFF\u00A0", "  \u00A0", "13-14 14-15 15-16 ");
}

TEST_CASE("bytes as characters") {
  check(ByteLevelNormalizer(), " \u00E9", "\u0120\u00C3\u00A9", "10-11 11-12 11-12 ");
  check(ByteLevelNormalizer(), std::string_view("\0~", 2), "\u0100~", "10-11 11-12 ");
}

}  // namespace
}  // namespace qe
