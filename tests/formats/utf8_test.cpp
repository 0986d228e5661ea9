// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/utf8.h"

#include <doctest/doctest.h>

namespace qe {
namespace {

struct Replaced {
  std::string text;
  int64_t n;
  bool operator==(const Replaced&) const = default;
};

Replaced replaced(std::string_view bytes) {
  Replaced result{"", 0};
  result.text = replace_invalid_utf8(bytes, result.n);
  return result;
}

#define FFFD "\xEF\xBF\xBD"

// The expected texts are those of Python's bytes.decode("utf-8", errors="replace").
TEST_CASE("each maximal invalid subpart becomes one U+FFFD") {
  CHECK(replaced("") == Replaced{"", 0});
  CHECK(replaced("aé中\U0001F600") == Replaced{"aé中\U0001F600", 0});
  CHECK(replaced("a\x80z") == Replaced{"a" FFFD "z", 1});
  CHECK(replaced("\xBF\xBF") == Replaced{FFFD FFFD, 2});
  CHECK(replaced("\xC0\xAF") == Replaced{FFFD FFFD, 2});           // overlong
  CHECK(replaced("\xC3") == Replaced{FFFD, 1});                    // cut at the end
  CHECK(replaced("\xC3(") == Replaced{FFFD "(", 1});               // no continuation
  CHECK(replaced("\xE4\xB8") == Replaced{FFFD, 1});                // two bytes of three
  CHECK(replaced("\xE4\xB8z") == Replaced{FFFD "z", 1});           //
  CHECK(replaced("\xE0\x9F\x80") == Replaced{FFFD FFFD FFFD, 3});  // overlong
  CHECK(replaced("\xED\xA0\x80") == Replaced{FFFD FFFD FFFD, 3});  // a surrogate
  CHECK(replaced("\xED\x9F\xBF") == Replaced{"\xED\x9F\xBF", 0});
  CHECK(replaced("\xF0\x9F\x98") == Replaced{FFFD, 1});
  CHECK(replaced("\xF0\x8F\x98\x80") == Replaced{FFFD FFFD FFFD FFFD, 4});
  CHECK(replaced("\xF4\x8F\xBF\xBF") == Replaced{"\U0010FFFF", 0});
  CHECK(replaced("\xF4\x90\x80\x80") == Replaced{FFFD FFFD FFFD FFFD, 4});
  CHECK(replaced("\xF5\x80") == Replaced{FFFD FFFD, 2});
  CHECK(replaced("\xF0\x9F\xF0\x9F\x98\x80\xFF") == Replaced{FFFD "\U0001F600" FFFD, 2});
}

TEST_CASE("code points are written and read back, forwards and backwards") {
  for (const char32_t c : {0x0u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    char bytes[4];
    const std::string text = "a" + std::string(bytes, static_cast<size_t>(write_utf8(c, bytes)));
    CHECK(valid_utf8_prefix_length(text) == text.size());
    CHECK(count_code_points(text) == 2);
    size_t at = 1;
    CHECK(next_code_point(text, at) == c);
    CHECK(at == text.size());
    CHECK(previous_code_point(text, at) == c);
    CHECK(at == 1);
  }
}

TEST_CASE("ASCII is told apart at every position") {
  for (size_t n = 0; n < 20; ++n) {
    CHECK(is_ascii(std::string(n, '\x7F')));
    for (size_t k = 0; k < n; ++k) {
      std::string text(n, 'a');
      text[k] = '\x80';
      CHECK(!is_ascii(text));
    }
  }
}

}  // namespace
}  // namespace qe
