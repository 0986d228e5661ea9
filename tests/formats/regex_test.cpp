// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: 2026 The qlora-engine authors
#include "formats/regex.h"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.h"

namespace qe {
namespace {

TEST_CASE("whole texts match or not") {
  const Regex regex(R"(.*\.(query|key))");
  CHECK(regex.full_match("layer.0.query"));
  CHECK(!regex.full_match("layer.0.query.weight"));
  CHECK(!regex.full_match(""));
}

TEST_CASE("the leftmost match from a place on, and its group") {
  const Regex regex("ab|(b+)");
  const std::string_view text = "xabbb";
  const auto first = regex.search(text, 0);
  REQUIRE(first);
  CHECK(first->begin == 1);
  CHECK(first->end == 3);
  CHECK(!first->group);
  const auto second = regex.search(text, 3);
  REQUIRE(second);
  CHECK(second->begin == 3);
  CHECK(second->end == 5);
  CHECK(second->group);
  CHECK(second->group_begin == 3);
  CHECK(second->group_end == 5);
  CHECK(!regex.search(text, 5));
  CHECK(Regex("").search("", 0)->end == 0);
}

TEST_CASE("bad and boundless patterns are refused by name") {
  const auto error = [](const std::string& pattern) {
    return error_of([&] { Regex regex(pattern); });
  };
  CHECK(error("a(b") == "pattern \"a(b\": missing ): a(b");
  for (const char* pattern : {"a(?!b)", "a(?=b)", "(?<=a)b", "(?<!a)b"}) {
    CHECK(error(pattern).find("pattern \"" + std::string(pattern) +
                              "\": look-ahead and look-behind are not supported: ") == 0);
  }
  CHECK(error("((a{500}){500}){500}").find("pattern \"((a{500}){500}){500}\": ") == 0);
  CHECK(error(std::string(2000000, 'a')).find("2000000 bytes, expected at most") !=
        std::string::npos);
  // What would take a backtracking matcher exponential time.
  CHECK(!Regex("(a*)*b").search(std::string(5000, 'a'), 0));
}

}  // namespace
}  // namespace qe
