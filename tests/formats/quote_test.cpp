// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/quote.h"

#include <doctest/doctest.h>

namespace qe {
namespace {

TEST_CASE("text in messages stays short and on one line") {
  CHECK(quote("") == R"("")");
  CHECK(quote("a \"b\" \\ \u00E9") == R"("a \"b\" \\ é")");
  CHECK(quote("\n\r\t\b\f\x01\x1B") == R"("\n\r\t\b\f\u0001\u001b")");
  CHECK(quote(std::string_view("\0", 1)) == R"("\u0000")");
  CHECK(quote("\xFF\xE4\xB8") == "\"\uFFFD\uFFFD\uFFFD\"");
  CHECK(quote(std::string(200, 'x')) == "\"" + std::string(100, 'x') + "...\"");
  CHECK(quote("ab\u00E9", 3) == R"("ab...")");  // cut before a character
  CHECK(printable("\"a\\b\"\n\xFF", 100) == "\"a\\b\"\\n\uFFFD");
  CHECK(printable("abcdef", 3) == "abc...");
  CHECK(abbreviated("abc", 3) == "abc");
  CHECK(abbreviated("\x80\x80\x80\x80", 2) == "...");  // no character begins there
}

}  // namespace
}  // namespace qe
